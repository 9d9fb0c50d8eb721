"""Services that serve what a store publishes: no answer mixes two sets, whatever is published."""

import json
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from support.s3_server import s3_store
from support.service import BODY, Running, publish_again, refused, serving
from support.shop import copy_home
from support.waiting import wait_until

from indexes.progress import silent
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.blends.store import BlendStore
from reranker.fleet.object_store import open_store
from reranker.fleet.push import push, roll_back

Set = tuple[str, int]  # index and blend
QUICK = {"RERANKER_RELOAD_SECONDS": "0.1", "RERANKER_RELOAD_PULL_SECONDS": "0.1"}


def answered(service: Running) -> Set:
    """The set that an answer says it was made with."""
    status, body = service.ask("/rerank", BODY)
    assert status == 200
    answer: dict[str, Any] = json.loads(body)
    assert len(answer["results"]) == 30
    return answer["versions"]["index"], answer["blend"]["version"]


def published(home: Path, url: str) -> Set:
    """Another index and another blend, together as one set."""
    publish_again(home)
    blends = BlendStore(home / "blends")
    blend, _ = blends.published_or_default()
    _, number = blends.save(msgspec.structs.replace(blend, note=uuid4().hex), publish=True)
    push(Workspace(home), open_store(url), silent)
    version = VersionStore(home / "index").current()
    assert version is not None
    VersionStore(home / "index").prune(3)
    return version.id, number


class Load:
    """Searches without a pause, from another thread; what every answer was made with."""

    def __init__(self, service: Running) -> None:
        self._service, self._end = service, threading.Event()
        self.sets: list[Set] = []
        self.failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._end.is_set():
                self.sets.append(answered(self._service))
        except BaseException as error:
            self.failed.append(error)

    def stop(self) -> None:
        self._end.set()
        self._thread.join()
        assert not self.failed, self.failed


@pytest.mark.parametrize("changes", [3, pytest.param(50, marks=pytest.mark.heavy)])
def test_no_answer_mixes_two_sets(shop_home: Path, tmp_path: Path, changes: int) -> None:
    serve_while_publishing(shop_home, tmp_path, (tmp_path / "store").as_uri(), changes)


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_no_answer_mixes_two_sets_of_an_s3(
    shop_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_store(monkeypatch) as url:
        serve_while_publishing(shop_home, tmp_path, url, 50)


def serve_while_publishing(shop_home: Path, tmp_path: Path, url: str, changes: int) -> None:
    """Two services answer without a pause through so many publishes and rollbacks."""
    home = copy_home(shop_home, tmp_path / "publisher")
    sets = [published(home, url)]
    asked = "--from", url
    with (
        serving(tmp_path / "one", *asked, **QUICK) as one,
        serving(tmp_path / "two", *asked, "--workers", "2", **QUICK) as two,
    ):
        loads = [Load(one), Load(two)]
        for number in range(changes):
            if number % 3 == 2:
                roll_back(open_store(url))
                wanted = sets[-2]
            else:
                sets.append(wanted := published(home, url))
            wait_until(lambda wanted=wanted: answered(one) == answered(two) == wanted)
        for load in loads:
            load.stop()
        answers = [each for load in loads for each in load.sets]
    print(f"{len(answers):,} answers over {changes} publishes and rollbacks, each of one set")  # noqa: T201
    assert len(answers) > changes
    assert set(answers) <= set(sets)


def test_reload_source_and_pull_seconds(shop_home: Path, tmp_path: Path) -> None:
    """From the settings as from --from; away, damaged or not, the store costs no answer."""
    home, url = copy_home(shop_home, tmp_path / "publisher"), (tmp_path / "store").as_uri()
    assert "is not there" in refused(tmp_path / "one", "--from", url)
    first = published(home, url)
    with serving(tmp_path / "one", RERANKER_RELOAD_SOURCE=url, **QUICK) as service:
        assert answered(service) == first
        (tmp_path / "store").rename(tmp_path / "away")
        assert answered(service) == first
        (tmp_path / "away").rename(tmp_path / "store")
        second = published(home, url)
        wait_until(lambda: answered(service) == second)
    (tmp_path / "store").rename(tmp_path / "away")
    with serving(tmp_path / "one", "--from", url, **QUICK) as service:
        assert answered(service) == second
