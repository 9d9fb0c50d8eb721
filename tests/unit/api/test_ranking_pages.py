"""GET /rankings/<id>: the pages after the first are of the very same ranking, for 15 minutes."""

import time
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.shop import Rerank, patient

from indexes.workspace import Workspace
from reranker.ranking.ranking import BlendName
from service.api.rerank import ranking_id
from service.app import create_app
from service.http.settings import LimitSettings
from service.live import kept_rankings
from service.live.kept_rankings import KeptRanking, KeptRankings

CANDIDATES = [{"id": str(number), "score": 60.0 - number} for number in range(50)]
BODY = {"query": "coffee", "candidates": CANDIDATES}


def page(client: FlaskClient, ranking: str, **asked: Any) -> Any:
    return client.get(f"/rankings/{ranking}", query_string=asked)


def test_pages_are_the_whole_ranking_in_order(client: FlaskClient, rerank: Rerank) -> None:
    whole = rerank(BODY)["results"]
    first = rerank(BODY | {"top_n": 10})
    assert first["results"] == whole[:10]
    pages = [page(client, first["id"], top_n=15, **{"from": at}).get_json() for at in (10, 25, 40)]
    assert [row for each in pages for row in each["results"]] == whole[10:]
    assert [each["total"] for each in pages] == [50] * 3
    assert pages[0]["from"] == 10 and pages[0]["id"] == first["id"]
    for name in ("blend", "versions", "degraded"):
        assert pages[0][name] == first[name]
    scores = [row["score"] for row in whole]
    assert scores == sorted(scores, reverse=True)
    beyond = page(client, first["id"], **{"from": 50}).get_json()
    assert (beyond["results"], beyond["total"]) == ([], 50)
    assert page(client, first["id"]).get_json()["results"] == whole[:20]


@pytest.mark.parametrize("extra", [{}, {"top_n": 50}, {"top_n": 5, "explain": True}])
def test_what_is_shown_whole_or_explained_is_not_kept(
    client: FlaskClient, rerank: Rerank, extra: dict[str, Any]
) -> None:
    answer = page(client, rerank(BODY | extra)["id"])
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (404, "unknown_ranking")


@pytest.mark.parametrize("asked", [{"from": "-1"}, {"from": "x"}, {"top_n": "1.5"}])
def test_a_place_that_is_none_is_named(client: FlaskClient, asked: dict[str, Any]) -> None:
    answer = page(client, ranking_id(), **asked)
    assert (answer.status_code, answer.get_json()["error"]["field"]) == (422, next(iter(asked)))


def test_an_id_is_no_path(client: FlaskClient) -> None:
    for ranking in ("..", "%2e%2e%2fkeys", "0" * 31, "G" * 32, "f" * 32):
        assert page(client, ranking).status_code == 404


def test_it_is_there_for_all_workers_and_gone_after_15_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = KeptRankings(tmp_path, 150), KeptRankings(tmp_path, 150)
    ranking = KeptRanking([], BlendName("d", 1), {"index": "i"}, [])
    first = ranking_id()
    one.add(first, ranking)
    found = other.get(first)
    assert found is not None and found.versions == {"index": "i"}
    now = time.time()
    monkeypatch.setattr(kept_rankings.time, "time", lambda: now + 15 * 60 - 61)
    assert other.get(first) is not None
    monkeypatch.setattr(kept_rankings.time, "time", lambda: now + 17 * 60)
    assert other.get(first) is None
    other.add(ranking_id(), ranking)
    assert not any(first in str(path) for path in tmp_path.rglob("*"))


def test_limits_kept_rankings(shop_home: Path, tmp_path: Path) -> None:
    sections = {**patient(shop_home).sections, LimitSettings: LimitSettings(kept_rankings=0)}
    client = create_app(Workspace(shop_home, sections)).test_client()
    answer = client.post("/rerank", json=BODY | {"top_n": 3}).get_json()
    assert len(answer["results"]) == 3
    assert page(client, answer["id"]).status_code == 404
    few = KeptRankings(tmp_path, 30)  # two in a minute
    ids = [ranking_id() for _ in range(9)]
    for each in ids:
        few.add(each, KeptRanking([], BlendName("d", 1), {}, []))
    assert 2 <= sum(few.get(each) is not None for each in ids) <= 4
