"""A query that is a model number: the item that it names, then its like; never below the engine."""

from typing import Any

import numpy as np
import pytest
from support.shop import write_items

from indexes.build.rebuild import rebuild
from indexes.items.words import beginnings, model_numbers, model_words
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.metrics.ranking import ndcg
from reranker.ranking.ranking import Ranking, rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, RerankRequest

KINDS = ("Burr coffee grinder", "Phone tripod", "Camera UV filter", "Wireless computer mouse")
NUMBERS = {  # of each brand's items, kind by kind; a "127M" looks like a size
    "Zapperoo": ("ZP-127M", "ZP-889A", "ZP-148P", "ZP-474E"),
    "Loopanka": ("LP-474E", "LP-422H", "LP-166R", "LP-234R"),
    "Taplark": ("TP-894F", "TP-561B", "TP-757E", "TP-478R"),
}
ITEMS: list[dict[str, Any]] = [
    {"id": f"{brand}{kind}", "title": f"{brand} {number} {KINDS[kind]}", "brand": brand}
    for brand, numbers in NUMBERS.items()
    for kind, number in enumerate(numbers)
]
# As an engine has them that looks for parts of the number: the brand's own things first.
ENGINE = [2, 3, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8]
TRUTH = {"Zapperoo0": 3.0, "Loopanka0": 1.0, "Taplark0": 1.0}  # that grinder, then grinders


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> ServedState:
    home = tmp_path_factory.mktemp("numbers")
    rebuild(Workspace(home), write_items(home / "items.jsonl", ITEMS), progress=silent)
    return load_state(Workspace(home))


def ranked(state: ServedState, query: str) -> Ranking:
    sent = [Candidate(ITEMS[place]["id"]) for place in ENGINE]
    return rerank(RerankRequest(sent, query=query, explain=True), state)


def worth(ids: list[str]) -> float:
    grades = np.array([TRUTH.get(item, 0.0) for item in ids])
    return ndcg(grades, np.array(list(TRUTH.values())))


SPELLINGS = ("ZP-127M", "zp127m", "zp 127m", "ZP_127M", "zp/127m", "ZP - 127M", "ZP-127")


@pytest.mark.parametrize("query", SPELLINGS)
def test_the_item_that_is_named_comes_first_then_its_like(state: ServedState, query: str) -> None:
    ids = [result.id for result in ranked(state, query).results]
    assert ids[0] == "Zapperoo0"
    assert worth(ids) > 0.9 > worth([ITEMS[place]["id"] for place in ENGINE])
    others = [item for item in ids if not item.startswith("Zapperoo")]
    assert {item[-1] for item in others[:2]} == {"0"}


def test_the_explanation_adds_up_and_the_named_item_stands_in_for_the_query(
    state: ServedState,
) -> None:
    first = ranked(state, "ZP-127M").results[0]
    assert first.explanation
    assert first.score == pytest.approx(sum(first.explanation.contributions.values()))
    assert first.explanation.signals["semantic"].raw == pytest.approx(1.0, abs=1e-3)
    assert first.explanation.signals["semantic"].trust is None


def test_words_beside_a_number_count_by_their_share(state: ServedState) -> None:
    """The number names a grinder, the word a tripod: both count."""
    grinders = ranked(state, "ZP-127M").results
    mixed = ranked(state, "tripod ZP-127M").results
    assert mixed[0].id == "Zapperoo0"

    def of_tripods(results: list[Any]) -> int:
        return sum(result.rank for result in results if result.id.endswith("1"))

    assert of_tripods(mixed) < of_tripods(grinders)


def test_a_number_that_nothing_has_leaves_the_engines_order(state: ServedState) -> None:
    ranking = ranked(state, "QX-900Z")
    assert [result.index for result in ranking.results] == list(range(len(ITEMS)))
    reasons = {part.signal: part.reason for part in ranking.degraded}
    assert reasons["semantic"] == reasons["typical"] == "unknown_query"


def test_a_number_is_more_than_its_last_part(state: ServedState) -> None:
    """LP-474E is meant, though ZP-474E has the same end."""
    assert ranked(state, "lp 474e").results[0].id == "Loopanka0"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Sony WF 1000XM4", {"1000xm4", "wf1000xm4"}),
        ("shoes EU 42 size 43", set()),
        ("tripod for 20 m", set()),
    ],
)
def test_a_title_parts_a_number_by_a_space(text: str, numbers: set[str]) -> None:
    assert model_numbers(text) == numbers


def test_a_query_says_which_of_its_words_make_up_a_number() -> None:
    assert model_words("filter zp 127m") == {"zp127m": frozenset({1, 2})}


def test_a_number_may_lack_its_last_letters() -> None:
    assert beginnings({"lp746f", "a123"}) == {"lp74*", "lp746*"}
