"""An item that nobody could have met yet is not held to be one that nobody wants."""

from pathlib import Path

import numpy as np
from support.shop import PATIENT, TRAINED_AT, copy_home, small_shop, write_items

from indexes.build.rebuild import rebuild
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.model.item_statistics import CHANCE_DAYS
from reranker.ranking.settings import RankingSettings
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, RerankRequest
from reranker.signals.columns import Column, Missing, normalised
from reranker.signals.context import RankingContext
from reranker.signals.registry import compute
from reranker.training.first_seen import first_seen

NEW = "just in"
LEARNED = ("popular", "together")


def columns(state: ServedState, ids: list[str]) -> dict[str, Column | Missing]:
    asked = RerankRequest(
        [Candidate(item) for item in ids],
        query="rain jacket",
        history=[Event(type="view", item="2", time=TRAINED_AT - 60.0)],
        time=TRAINED_AT,
    )
    context = RankingContext(asked, state.index, state.query_vectors, 10, personal=state.personal)
    return compute(context, list(LEARNED))


def test_an_item_newer_than_the_model_counts_as_the_mean(home: Path, tmp_path: Path) -> None:
    workspace = Workspace(copy_home(home, tmp_path / "home"), {RankingSettings: PATIENT})
    before = columns(load_state(workspace), ["1", "2", "7", "59", NEW])
    item = small_shop()[6] | {"id": NEW, "title": "Green rain jacket"}
    rebuild(workspace, write_items(tmp_path / "i.jsonl", [*small_shop(), item]), progress=silent)
    state = load_state(workspace)
    after = columns(state, ["1", "2", "7", "59", NEW])
    for name in LEARNED:
        lacked, new = before[name], after[name]
        assert isinstance(lacked, Column) and isinstance(new, Column)
        assert new.known.tolist() == [True, True, True, True, False]
        values = normalised(new, "minmax")
        assert values[4] == np.mean(values[:4])
        np.testing.assert_array_equal(values, normalised(lacked, "minmax"))
        assert new.lost == ()  # nothing is amiss
        assert columns(state, [NEW])[name] == Missing("too_new", degraded=False)


def test_it_is_unknown_until_it_stood_in_the_shop_for_a_while() -> None:
    old, both = np.array([5, 9], np.uint64), np.array([5, 7, 9], np.uint64)
    first = first_seen(old, 1_000, None)
    second = first_seen(both, 1_010, first)
    third = first_seen(both, 1_010 + CHANCE_DAYS, second)
    assert second.days.tolist() == third.days.tolist() == [0, 1_010, 0]
    assert first_seen(both, 1_030, None).days.tolist() == [0, 0, 0]
