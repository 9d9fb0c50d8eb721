"""`train --until`: an honest split by time, and what is said of one that is none."""

import json
from pathlib import Path

import pytest
from support.shop import copy_home

from indexes.workspace import Workspace
from reranker.evaluation.evaluate import evaluate
from reranker.evaluation.leakage import Leaks
from reranker.evaluation.report import report
from reranker.events.events import HistoryEvent
from reranker.feedback.records import LoggedRanking
from reranker.feedback.requests import judged_by
from reranker.histories.store import open_histories
from reranker.model.training_times import share_later, trained_to
from reranker.ranking.state import load_state
from reranker.requests import Candidate, JudgedRequest
from service.commands.cli import run

DAY = 86_400.0
FIRST = 20_000 * DAY
CUT = FIRST + 50 * DAY


@pytest.fixture(scope="module")
def home(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hundred days of a shop, an event of one of ten shoppers each."""
    home = copy_home(shop_home, tmp_path_factory.mktemp("until") / "home")
    histories = open_histories(Workspace(home))
    histories.append(
        [
            HistoryEvent(
                type="view", item=f"{day % 7}", time=FIRST + day * DAY, user=f"u{day % 10}"
            )
            for day in range(100)
        ]
    )
    histories.close()
    return home


def asked(day: float) -> JudgedRequest:
    return JudgedRequest(
        [Candidate(f"{number}") for number in range(7)],
        query="shoes",
        user="somebody else",
        time=FIRST + day * DAY,
        ratings={"3": 1.0},
    )


def test_only_what_was_before_is_learned(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, half = (
        _trained(home, capsys, *args) for args in ((), ("--until", "2024-11-23T00:00:00Z"))
    )
    assert (whole["events"], whole["until"]) == (100, None)
    assert (half["events"], half["until"]) == (50, CUT)
    assert trained_to(whole) == FIRST + 100 * DAY and trained_to(half) == CUT
    assert share_later(whole, FIRST + 24.5 * DAY) == pytest.approx(0.75, abs=0.05)
    assert share_later(half, CUT) == 0.0
    state = load_state(Workspace(home))  # that of half the events
    assert evaluate([asked(60), asked(70)], state).training_later == 0.0
    early = evaluate([asked(20), asked(30)], state)
    assert early.training_later == pytest.approx(0.5, abs=0.06)
    assert "of the training events are later than a request" in report(early)
    blend, _ = state.blend(None)
    leaks = Leaks(state, [blend], allowed=False, of_anybody=True)
    clicked = [
        LoggedRanking(id=f"r{day}", time=FIRST + day * DAY, items=["1", "2"]) for day in (40, 60)
    ]
    assert [leaks.refuses(judged_by(ranking, ["1"])) for ranking in clicked] == [True, False]
    with pytest.raises(Exception, match="before events that the model was trained on") as failure:
        leaks.check(0)
    assert "--until TIME" in str(getattr(failure.value, "hint", ""))


def _trained(home: Path, capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, object]:
    assert run(["--home", str(home), "train", "--minutes", "0.01", *args, "--json"]) == 0
    summary: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return summary


def test_a_time_that_is_none_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(home), "train", "--until", "soon"]) == 2
    assert "--until" in capsys.readouterr().err
    assert run(["--home", str(home), "train", "--until", "2001-01-01"]) == 1
    assert "from before --until" in capsys.readouterr().err
