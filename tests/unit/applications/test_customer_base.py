"""The figures of all customers: what the routes say of each, summed up, and nothing twice."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.shop import copy_home, patient

from indexes.errors import Failure
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.applications.customer_base import CustomerBase, customer_base, stored_figures
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.ranking.state import load_state
from service.app import create_app
from service.commands.cli import run


@pytest.fixture(scope="module")
def home(buyers_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(buyers_home, tmp_path_factory.mktemp("base") / "home")


@pytest.fixture(scope="module")
def figures(home: Path) -> CustomerBase:
    return worked_out(home)


class Stages:
    """What was worked on; ends at the stage that is named, as somebody who presses Stop."""

    def __init__(self, stop: str = "") -> None:
        self.begun: list[str] = []
        self._stop = stop

    @contextmanager
    def __call__(self, stage: str, _total: int | None) -> Iterator[Any]:
        self.begun.append(stage)
        if stage == self._stop:
            raise KeyboardInterrupt
        yield lambda _done: None


def worked_out(home: Path, progress: Any = silent, users: int = 50) -> CustomerBase:
    workspace = Workspace(home)
    with closing(open_histories(workspace)) as histories:
        return customer_base(
            workspace, load_state(workspace, histories), histories, users, progress
        )


def test_groups_are_the_sum_of_what_the_route_says_of_each(
    home: Path, figures: CustomerBase
) -> None:
    client = create_app(patient(home)).test_client()
    answers = [client.get(f"/users/b{number}/churn").get_json() for number in range(400)]
    active = [answer for answer in answers if answer["probability"] is not None]
    churn = figures.churn
    assert churn is not None and churn.customers == len(active) > 100
    assert churn.at_risk == pytest.approx(sum(one["value_at_risk"] for one in active))
    assert churn.mean == pytest.approx(sum(one["probability"] for one in active) / len(active))
    for parts in (churn.distribution, churn.segments):
        assert sum(part.customers for part in parts) == len(active)
    risky = [one for one in active if one["probability"] >= 0.75]
    bands = [part for part in churn.segments if part.low == 0.75]
    assert sum(part.customers for part in bands) == len(risky)
    thirds = [
        sum(part.customers for part in churn.segments if part.value == name)
        for name in ("low", "middle", "high")
    ]
    assert max(thirds) - min(thirds) <= 1


def test_calibration_is_of_moments_whose_outcome_is_known(figures: CustomerBase) -> None:
    churn = figures.churn
    assert churn is not None and not churn.calibrated.missing
    bins, calibrated = churn.calibrated.bins, churn.calibrated
    assert sum(one.examples for one in bins) == calibrated.examples > 100
    left = sum(one.examples * one.observed for one in bins)
    assert left == pytest.approx(calibrated.base_rate * calibrated.examples)
    assert [one.foreseen for one in bins] == sorted(one.foreseen for one in bins)
    assert 0 <= calibrated.ece < 0.3 and calibrated.moments == 3


def test_coverage_is_of_what_is_recommended(home: Path, figures: CustomerBase) -> None:
    reach = figures.coverage
    assert reach is not None and (reach.asked, reach.users, reach.items) == (50, 402, 60)
    assert 0 < reach.coverage <= 1 and 0 <= reach.gini < 1
    assert sum(reach.sources.values()) == 50
    assert reach.most[0].shoppers == max(one.shoppers for one in reach.most) <= 50


def test_nothing_is_worked_out_twice_and_what_was_done_is_kept(home: Path, tmp_path: Path) -> None:
    own = copy_home(home, tmp_path / "home")
    first = worked_out(own)
    again = Stages()
    assert worked_out(own, again) == first == stored_figures(own) and again.begun == []
    with closing(open_histories(Workspace(own))) as histories:
        newest = histories.newest_time()
        assert newest is not None
        more = HistoryEvent(type="purchase", item="3", time=newest + 60, user="b1", price=5.0)
        histories.append([more])
    stopped = Stages("recommend")
    with pytest.raises(KeyboardInterrupt):
        worked_out(own, stopped)
    assert stopped.begun == ["churn", "recommend"]
    assert (
        stored_figures(own).coverage == first.coverage and stored_figures(own).churn != first.churn
    )
    rest = Stages()
    assert worked_out(own, rest) != first and rest.begun == ["recommend"]


def test_what_is_missing_is_said(own_home: Path, trained_home: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no event yet"):
        worked_out(own_home)
    own = copy_home(trained_home, tmp_path / "trained")
    churn = worked_out(own).churn
    assert churn is not None and "too few purchases" in churn.missing


def test_the_command_prints_what_is_kept(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worked_out(home)
    assert run(["--home", str(home), "customers", "--users", "50", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["churn"]["customers"] == sum(
        part["customers"] for part in printed["churn"]["segments"]
    )
    assert run(["--home", str(home), "customers", "--users", "50"]) == 0
    assert "active customers" in capsys.readouterr().out
    assert not any(b"~" in file.read_bytes() for file in (home / "customers").iterdir())
