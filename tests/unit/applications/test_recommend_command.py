"""`reranker recommend` on the command line: one user, and everyone into a file."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from support.shop import copy_home

from indexes.workspace import Workspace
from reranker.applications.recommendations.all_shoppers import Helpers, write_all
from reranker.applications.recommendations.candidates import CatalogueLists
from reranker.applications.recommendations.evaluate_recommend import evaluate_recommend
from reranker.applications.recommendations.recommend import recommend
from reranker.applications.recommendations.unexplained import recommend_unexplained
from reranker.applications.recommendations.wishes import Exclude, PageContext, Wish
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.model.settings import TrainSettings
from reranker.ranking.state import load_state
from reranker.requests import RerankRequest
from service.commands.cli import cli


def run(home: Path, *args: str) -> str:
    done = CliRunner().invoke(cli, ["--home", str(home), "recommend", *args])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_one_user_and_everyone(trained_home: Path, tmp_path: Path) -> None:
    home = copy_home(trained_home, tmp_path / "home")
    assert "source: personal" in run(home, "u3", "--top-n", "4")
    answer = json.loads(run(home, "u3", "--top-n", "4", "--json").splitlines()[-1])
    assert len(answer["results"]) == 4
    counts = json.loads(
        run(home, "--all", "--out", str(tmp_path / "r.parquet"), "--top-n", "4", "--json")
    )
    table = pq.read_table(tmp_path / "r.parquet").to_pylist()
    assert counts["users"] == 40 and counts["rows"] == len(table) == 160
    assert {row["source"] for row in table} == {"personal"}


@pytest.mark.parametrize(
    "wish",
    [
        Wish(RerankRequest([])),
        Wish(RerankRequest([]), exclude=Exclude(bought=True), top_n=5, diversity=0.3),
        Wish(RerankRequest([], time=1.7e9, weights={"near": 0.0}), top_n=5),
        Wish(RerankRequest([], explain=True), context=PageContext(query="jacket")),
    ],
)
def test_everyone_gets_what_one_user_gets(trained_home: Path, wish: Wish) -> None:
    """The same items, scores, reasons and remarks, with less work."""
    histories = open_histories(Workspace(trained_home))
    state = load_state(Workspace(trained_home), histories)
    lists = CatalogueLists(state.index, state.personal.learned)
    for user in [*histories.users(), "nobody"]:
        asked = msgspec.structs.replace(
            wish, shopper=msgspec.structs.replace(wish.shopper, user=user)
        )
        one, many = recommend(asked, state, lists), recommend_unexplained(asked, state, lists)
        assert many.results and [each.id for each in many.results] == [
            each.id for each in one.results
        ]
        scores = [each.score for each in one.results]
        assert [each.score for each in many.results] == pytest.approx(scores, abs=1e-6)
        assert [each.reason for each in many.results] == [each.reason for each in one.results]
        assert (many.degraded, many.source, many.blend) == (one.degraded, one.source, one.blend)


def test_what_was_met_is_the_same_item_by_item_and_at_once(trained_home: Path) -> None:
    state = load_state(Workspace(trained_home))
    assert state.personal.learned is not None
    statistics, rows = state.personal.learned.statistics, np.arange(len(state.index))
    wanted = np.append(rows[::-1], rows[:3])  # in any order, twice, too
    every = statistics.shares_with(rows, wanted)
    assert every.any()
    for row in rows.tolist():
        met = statistics.co_occurrences(rows[row : row + 1], np.ones(1))
        np.testing.assert_allclose(every[:, row], statistics.amounts_of(met, wanted))


def test_an_interrupted_run_goes_on(trained_home: Path, tmp_path: Path) -> None:
    workspace = Workspace(copy_home(trained_home, tmp_path / "home"))
    histories = open_histories(workspace)
    state, out = load_state(workspace, histories), tmp_path / "r.jsonl"
    wish = Wish(RerankRequest([]), top_n=3)

    def stop(users: int) -> None:
        if users == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_all(histories.users(), wish, state, out, stop)
    assert not out.exists()
    with out.with_name(".r.jsonl.part").open("ab") as file:
        file.write(b'[{"user": "torn')
    written = write_all(histories.users(), wish, state, out)
    assert (written.users, written.rows, written.resumed) == (40, 120, 10)
    whole = out.read_bytes()
    assert write_all(histories.users(), wish, state, out).resumed == 0
    assert out.read_bytes() == whole
    with Helpers(workspace, 2) as helpers:
        write_all(histories.users(), wish, state, out, helpers=helpers)
    assert out.read_bytes() == whole
    histories.close()


def test_evaluation_holds_back_the_last_item(trained_home: Path, tmp_path: Path) -> None:
    home = copy_home(trained_home, tmp_path / "home")
    histories = open_histories(Workspace(home))
    histories.append(
        [
            HistoryEvent(type="view", item=str((n + step) % 60), time=2e9 + step, user=f"u{n}")
            for n in range(40)
            for step in range(2)
        ]
    )
    histories.close()
    before = sorted(path.name for path in (home / "model" / "versions").iterdir())
    settings = TrainSettings(epochs=1, minutes=0, width=16, min_validation_shoppers=1000)
    report = evaluate_recommend(Workspace(home), settings, 12, lambda _line: None)
    assert report.users == 12 and report.items == 60
    models = {"recommend", "exact", "popular", "together", "last-item", "ease"}
    assert set(report.metrics) == models == {*report.difference, "recommend"}
    for metrics in report.metrics.values():
        assert 0 <= metrics["ndcg@10"] <= metrics["hit@10"] <= 1
        assert 0 < metrics["coverage"] <= 1 and 0 <= metrics["gini"] < 1
    assert sorted(path.name for path in (home / "model" / "versions").iterdir()) == before
