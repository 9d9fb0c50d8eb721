"""A set in an S3: the same as in a folder. Needs moto[server] and s3fs, which nothing else does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.s3_server import s3_store
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
    with s3_store(monkeypatch) as url:
        yield url


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
