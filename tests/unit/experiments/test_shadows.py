"""Shadow blends: ranked and logged, never served, and the first to go under load."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from support.shop import patient
from support.waiting import wait_until

from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT
from reranker.blends.store import BlendStore
from reranker.experiments.shadow_files import (
    ShadowChoice,
    choose_shadows,
    read_shadows,
    shadow_choice,
)
from reranker.experiments.shadow_report import summaries
from reranker.experiments.shadows import COMPUTED, DROPPED, FAILED, WAITING, Shadows
from reranker.feedback.settings import RankingLogSettings
from reranker.metrics.rank_correlation import Agreement, agreement
from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, RerankRequest
from service.app import create_app
from service.commands.cli import run

CANDIDATES = [{"id": f"{number}"} for number in range(30)]
BODY = {"query": "red running shoes", "candidates": CANDIDATES, "top_n": 12}


def test_agreement_by_hand() -> None:
    same = Agreement(overlap=1.0, tau=1.0, displacement=0.0, same_first=True)
    assert agreement([3, 1, 2], [3, 1, 2]) == same
    assert agreement([0, 1, 2], [2, 1, 0]) == Agreement(1.0, -1.0, (2 + 0 + 2) / 3, False)
    # 10 and 11 come in for 0 and 1, which stand at 10 and 11 now.
    moved = agreement(list(range(12)), [10, 11, *range(2, 10), 0, 1])
    assert moved is not None and moved.overlap == 0.8 and not moved.same_first
    assert moved.displacement == (10 + 10) / 10
    assert agreement([], [1]) is None
    assert agreement([5], [5]) == same


def engine_only(home: Path) -> str:
    """A blend that keeps the engine's order, stored and not published."""
    signals = {"engine": DEFAULT.signals["engine"]}
    blend = msgspec.structs.replace(DEFAULT, name="plain", signals=signals)
    stored, number = BlendStore(home / "blends").save(blend)
    return f"{stored.name}@{number}"


class Told:
    """What shadows report."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.agreements: list[tuple[str, Agreement]] = []
        self.busy = 0

    def shadows(self, home: Path) -> Shadows:
        return Shadows(
            home,
            RankingLogSettings(),
            lambda outcome: self.counts.update([outcome]),
            lambda blend, found: self.agreements.append((blend, found)),
            lambda: self.busy,
        )

    def wait_for(self, outcome: str, count: int = 1) -> None:
        wait_until(lambda: self.counts[outcome] >= count)


ASKED = RerankRequest([Candidate(f"{number}") for number in range(30)], "red running shoes")


@pytest.fixture
def state(own_home: Path) -> ServedState:
    BlendStore(own_home / "blends").published_or_default()
    return load_state(Workspace(own_home))


def test_a_shadow_ranks_logs_and_says_how_it_agrees(own_home: Path, state: ServedState) -> None:
    label = engine_only(own_home)
    choose_shadows(own_home, ShadowChoice([label], 1.0))
    told = Told()
    ranking = rerank(ASKED, state)
    told.shadows(own_home).offer("r1", ASKED, ranking, state)
    told.wait_for(COMPUTED)
    (line,) = wait_for_lines(own_home)
    assert (line.id, line.blend, line.candidates) == ("r1", "default@1", 30)
    assert line.orders == {label: list(range(30))}
    assert line.served == [ranked.index for ranked in ranking.results]
    assert told.agreements == [(label, agreement(line.served, line.orders[label]))]
    (summary,) = summaries([line], {"r1": [line.served[3]]})
    assert (summary.rankings, summary.clicks, summary.clicked_served) == (1, 1, 4.0)
    assert summary.clicked_shadow == line.served[3] + 1
    path = next((own_home / "shadows").glob("*.jsonl"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"shoes" not in path.read_bytes()


def test_who_does_not_agree_is_in_no_shadow(own_home: Path, state: ServedState) -> None:
    choose_shadows(own_home, ShadowChoice([engine_only(own_home)], 1.0))
    told, ranking = Told(), rerank(ASKED, state)
    shadows = told.shadows(own_home)
    shadows.offer("r1", msgspec.structs.replace(ASKED, personalize=False), ranking, state)
    shadows.offer("r2", ASKED, ranking, state)
    told.wait_for(COMPUTED)
    assert [line.id for line in wait_for_lines(own_home)] == ["r2"]


def wait_for_lines(home: Path) -> list[Any]:
    lines: list[Any] = []

    def logged() -> bool:
        lines[:] = read_shadows(Workspace(home))
        return bool(lines)

    wait_until(logged)
    return lines


def test_a_busy_process_drops_shadows_and_a_full_queue_too(
    own_home: Path, state: ServedState
) -> None:
    choose_shadows(own_home, ShadowChoice([engine_only(own_home)], 1.0))
    told = Told()
    told.busy = 1
    shadows = told.shadows(own_home)
    ranking = rerank(ASKED, state)
    for number in range(WAITING + 5):
        shadows.offer(f"{number}", ASKED, ranking, state)
    assert told.counts[DROPPED] >= 4  # the queue is full at once
    told.wait_for(DROPPED, WAITING + 5)  # and patience ends
    assert told.counts[COMPUTED] == 0


def test_a_shadow_that_fails_costs_nothing(own_home: Path, state: ServedState) -> None:
    choose_shadows(own_home, ShadowChoice(["gone@7", engine_only(own_home)], 1.0))
    told = Told()
    told.shadows(own_home).offer("r1", ASKED, rerank(ASKED, state), state)
    told.wait_for(COMPUTED)
    assert told.counts[FAILED] == 1


def test_a_broken_choice_is_left_out(own_home: Path) -> None:
    BlendStore(own_home / "blends").published_or_default()
    (own_home / "blends" / "shadow.json").write_text('{"blends": 3}')
    assert Told().shadows(own_home).choice == ShadowChoice()


def test_share_and_requests_with_a_blend_of_their_own(own_home: Path, state: ServedState) -> None:
    label = engine_only(own_home)
    ranking = rerank(ASKED, state)
    for choice in (ShadowChoice([], 1.0), ShadowChoice([label], 0.0)):
        choose_shadows(own_home, choice)
        told = Told()
        shadows = told.shadows(own_home)
        shadows.offer("r", ASKED, ranking, state)
        assert not shadows._queue and not told.counts


def test_the_service_answers_the_same_and_takes_up_the_choice(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app: Flask = create_app(patient(own_home))
    client = app.test_client()
    before = client.post("/rerank", json=BODY).get_json()["results"]
    label = engine_only(own_home)
    assert run(["--home", str(own_home), "blends", "shadow", "plain", "--share", "1"]) == 0
    assert label in capsys.readouterr().out
    assert shadow_choice(own_home) == ShadowChoice([label], 1.0)

    def logged() -> bool:  # and what is served stays the same meanwhile
        assert client.post("/rerank", json=BODY).get_json()["results"] == before
        return bool(list(read_shadows(Workspace(own_home))))

    wait_until(logged)
    text = client.get("/metrics").text
    assert f'reranker_shadow_overlap_count{{blend="{label}"}}' in text
    assert 'reranker_shadows_total{outcome="computed"}' in text
    assert run(["--home", str(own_home), "blends", "shadow", "--report", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["shadows"]
    assert (row["shadow"], row["served"]) == (label, "default@1")
    assert 0 <= row["overlap"] <= 1 and row["rankings"] >= 1
    assert run(["--home", str(own_home), "blends", "shadow", "--off"]) == 0
    assert shadow_choice(own_home).blends == []
    assert run(["--home", str(own_home), "blends", "shadow", "nobody"]) == 1
