"""What is published while the service runs: swapped in whole, or refused while the old goes on."""

import os
from pathlib import Path

import pytest
from flask import Flask
from support.service import publish_again
from support.shop import patient
from support.waiting import wait_until

from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.blends.blend import Blend, SignalWeight
from reranker.blends.store import BlendStore
from service.app import create_app, served
from service.live.settings import ReloadSettings

BODY = {"query": "coffee", "candidates": [{"id": "1"}, {"id": "12"}, {"id": "10"}]}


def index_of(app: Flask) -> str:
    answer = app.test_client().post("/rerank", json=BODY)
    assert answer.status_code == 200
    return str(answer.get_json()["versions"]["index"])


@pytest.fixture
def own_app(own_home: Path) -> Flask:
    return create_app(patient(own_home))


def test_a_new_index_is_swapped_in_once(own_app: Flask, own_home: Path) -> None:
    first = index_of(own_app)
    assert not served(own_app).refresh()
    new = publish_again(own_home)
    assert index_of(own_app) == first  # until the next look
    assert served(own_app).refresh()
    assert index_of(own_app) == new.id
    assert not served(own_app).refresh()
    assert 'reranker_reloads_total{outcome="swapped"} 1.0' in metrics(own_app)


def test_a_new_blend_is_swapped_in(own_app: Flask, own_home: Path) -> None:
    blend = Blend(name="plain", signals={"engine": SignalWeight(1.0)})
    BlendStore(own_home / "blends").save(blend, publish=True)
    assert served(own_app).refresh()
    answer = own_app.test_client().post("/rerank", json=BODY).get_json()
    assert answer["blend"] == {"name": "plain", "version": 1}
    assert [result["index"] for result in answer["results"]] == [0, 1, 2]


@pytest.mark.promise(8)
def test_a_damaged_version_is_refused_said_once_and_the_old_goes_on(
    own_app: Flask, own_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = index_of(own_app)
    publish_again(own_home, damaged=True)
    for _ in range(3):
        assert not served(own_app).refresh()
    assert index_of(own_app) == first
    assert own_app.test_client().get("/readyz").status_code == 200
    assert caplog.text.count("is refused") == 1 and "vectors.faiss" in caplog.text
    assert 'reranker_reloads_total{outcome="refused"} 1.0' in metrics(own_app)
    sound = publish_again_from(own_home, first)
    assert served(own_app).refresh()
    assert index_of(own_app) == sound


def publish_again_from(home: Path, version: str) -> str:
    VersionStore(home / "index").switch_to(version)
    return publish_again(home).id


def test_a_home_that_loses_its_index_goes_on_answering(own_app: Flask, own_home: Path) -> None:
    first = index_of(own_app)
    os.remove(own_home / "index" / "current")
    assert not served(own_app).refresh()
    assert index_of(own_app) == first


def test_reload_seconds(own_home: Path) -> None:
    """The setting: a watch looks about as often as it says."""
    quick = Workspace(own_home, {ReloadSettings: ReloadSettings(seconds=0.02)})
    app = create_app(quick)
    served(app).watch()
    slow = create_app(Workspace(own_home, {ReloadSettings: ReloadSettings(seconds=600)}))
    served(slow).watch()
    first = index_of(app)
    new = publish_again(own_home)
    wait_until(lambda: index_of(app) != first)
    assert (index_of(app), index_of(slow)) == (new.id, first)


def metrics(app: Flask) -> str:
    return app.test_client().get("/metrics").text
