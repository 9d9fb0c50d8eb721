"""Held-out searches ask the shop's own engine, where the home has logged what it showed."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.click_worlds import searches, true_value
from support.shop import small_shop

from indexes.items.index import ItemIndex
from indexes.storage.versions import VersionStore
from reranker.events.events import TYPES, HistoryEvent
from reranker.feedback.records import LoggedRanking
from reranker.training.held_out import HeldOut, held_out
from reranker.training.sequences import Sequences, sequences_of
from reranker.tuning.default_blend import DefaultFit, HeldOutSearches, lists_of
from reranker.tuning.held_out_requests import held_out_requests
from reranker.tuning.logged_searches import logged_searches

IDS = [item["id"] for item in small_shop()]
AT = 1e9


def visits() -> Sequences:
    """Of two shoppers with a view before, one searched as a user and one as a session."""
    rows = [
        (name, HistoryEvent(type=kind, item=item, query=query, time=AT + seconds))
        for name in ("u ~a", "s ~b")
        for kind, item, query, seconds in (
            ("view", IDS[7], None, 0.0),
            ("view", IDS[8], None, 1.0),
            ("search", None, "Red  lamp", 100.0),
            ("view", IDS[3], None, 110.0),
        )
    ]
    return sequences_of(rows, TYPES)


def moments_of(sequences: Sequences) -> HeldOut:
    """The moment of one of them; which, a hash says."""
    return held_out(sequences, sequences.at[1:], 1, seed=1)


def ranking(name: str, **more: object) -> LoggedRanking:
    fields = {"id": name, "time": AT + 100.0, "items": [IDS[5], IDS[3]], "query": "red lamp"}
    return msgspec.convert(fields | more, LoggedRanking)


def logged(folder: Path, rankings: list[LoggedRanking]) -> Path:
    folder.mkdir()
    lines = [msgspec.json.encode(each) for each in rankings]
    (folder / "2001-09-09.jsonl").write_bytes(b"\n".join([b"{torn", *lines, b""]))
    return folder


def test_a_search_is_what_its_shopper_got_then_for_these_words(tmp_path: Path) -> None:
    sequences = visits()
    moments = moments_of(sequences)
    who = sequences.shoppers[moments.shoppers[0]].partition(" ")
    mine = {"user" if who[0] == "u" else "session": who[2]}
    folder = logged(
        tmp_path / "rankings",
        [
            ranking("of another shopper", user="~c"),
            ranking("of nobody"),
            ranking("for other words", query="lamp", **mine),
            ranking("an hour later", time=AT + 3700.0, **mine),
            ranking("further away", time=AT + 70.0, **mine),
            ranking("this one", time=AT + 101.0, **mine),
        ],
    )
    shown = logged_searches(folder, sequences, moments, {})
    assert [each.id for each in shown.values()] == ["this one"]
    assert logged_searches(tmp_path / "none", sequences, moments, {}) == {}


def test_a_session_that_became_a_users_is_theirs(tmp_path: Path) -> None:
    sequences = visits()
    moments = moments_of(sequences)
    who = sequences.shoppers[moments.shoppers[0]]
    folder = logged(tmp_path / "rankings", [ranking("r", session="~then")])
    assert list(logged_searches(folder, sequences, moments, {"~then": who})) == [0]


def test_the_shops_own_candidates_are_ranked_where_they_hold_what_was_wanted(
    shop_home: Path,
) -> None:
    version = VersionStore(shop_home / "index").current()
    assert version
    index = ItemIndex(version)
    sequences = visits()
    sequences = sequences.with_rows(index.rows(sequences.item_ids))
    moments = moments_of(sequences)
    shown = ranking("r", others=[IDS[9]], scores=[9.0, 8.0, 1.0])
    [request] = held_out_requests(sequences, moments, index, 10, {0: shown})
    assert [one.id for one in request.candidates] == [IDS[5], IDS[3], IDS[9]]
    assert [one.score for one in request.candidates] == [9.0, 8.0, 1.0]
    assert request.shown == [IDS[5], IDS[3]] and request.ratings == {IDS[3]: 1.0}
    other = ranking("r", items=[IDS[5]])  # the shopper found it another way
    for request in held_out_requests(sequences, moments, index, 10, {0: other}):
        assert request.shown is None and len(request.candidates) > 1


@pytest.mark.parametrize("seed", [1, 2])
def test_clicks_on_one_fixed_order_do_not_teach_that_order(seed: int) -> None:
    """What is popular is wanted, and was served low: the fit finds it as from true grades."""
    fit = DefaultFit(("popular",))
    tested = searches(200, seed + 20, "true")

    def value(labels: str) -> float:
        held = HeldOutSearches.of(searches(600, seed, labels))
        lists = lists_of(held.requests, fit.signals, held.shares)
        return true_value(fit.blend(fit.fitted(lists, 10.0), ""), tested)

    assert value("clicks") > 0.98 * value("true")


def test_what_was_taken_further_down_counts_more() -> None:
    held = HeldOutSearches.of(searches(400, 3, "clicks"))
    assert len(held.rows.grades) == sum(int(one.rows.sum()) for one in held.requests)
    worth = held.rows.worth
    top, low = held.rows.positions == 0, held.rows.positions == 15
    assert worth[low].mean() > 2 * worth[top].mean()
    every = np.arange(len(held.requests))
    best = held.ndcg(held.rows.grades, every)
    assert (held.ndcg(-held.rows.grades, every) < best).all()
