"""A set in an S3: the same as in a folder. Needs moto[server] and s3fs, which nothing else does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.service import publish_again
from support.shop import copy_home

from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.fleet.object_store import StoreFailure, open_store
from reranker.fleet.pull import pull
from reranker.fleet.push import push, roll_back
from reranker.fleet.sets import object_name
from reranker.ranking.state import load_state

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    started.start()
    host, port = started.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    import fsspec

    fsspec.filesystem("s3").mkdir("shop-sets")
    yield "s3://shop-sets/eu"
    started.stop()


def test_a_set_goes_through_an_s3(shop_home: Path, tmp_path: Path, url: str) -> None:
    publisher = Workspace(copy_home(shop_home, tmp_path / "publisher"))
    replica, store = Workspace(tmp_path / "replica"), open_store(url)
    first = push(publisher, store, silent)
    assert first.files > 5 and not push(publisher, store, silent).changed
    assert pull(replica, store) is not None
    assert load_state(replica).versions == load_state(publisher).versions
    publish_again(publisher.home)
    second = push(publisher, store, silent)
    assert pull(replica, store) is not None
    assert load_state(replica).versions == load_state(publisher).versions
    assert roll_back(store).id == first.set
    taken = pull(replica, store)
    assert taken is not None and taken.id == first.set
    name = object_name(taken.index.manifest)
    store.write(name, b"not what it was")
    with pytest.raises(StoreFailure, match=name):
        pull(Workspace(tmp_path / "new"), store)
    assert roll_back(store, second.set).id == second.set
