"""What shoppers took after a search: by query, silent about few, backing off to like queries."""

from pathlib import Path

import numpy as np
import pytest

from reranker.events.events import TYPES, HistoryEvent
from reranker.model.search_statistics import SearchStatistics
from reranker.model.settings import TrainSettings
from reranker.training.search_statistics import CountedSearches, count_searches
from reranker.training.sequences import Sequences, sequences_of

ITEMS = ["lamp", "desk", "chair"]
QUERIES = {"Desk Lamp": [1.0, 0.0], "desk lamps": [0.95, 0.3122], "sofa": [0.0, 1.0]}


def searched(*visits: tuple[str, str, str]) -> Sequences:
    """shopper, query, item: a search, and a minute later the item; one shopper's a day apart."""
    events = []
    for number, (who, query, item) in enumerate(visits):
        time = 1e9 + 86_400.0 * number
        events += [
            (who, HistoryEvent(type="search", query=query, time=time)),
            (who, HistoryEvent(type="view", item=item, time=time + 60)),
        ]
    made = sequences_of(events, TYPES)
    return made.with_rows(np.array([ITEMS.index(item) for item in made.item_ids]))


def counted(sequences: Sequences, least: int = 2) -> CountedSearches:
    vectors = np.array([QUERIES[text] for text in sequences.query_texts], np.float32)
    return count_searches(sequences, vectors, TrainSettings(min_users_together=least), 30.0)


def served(counts: CountedSearches, folder: Path) -> SearchStatistics:
    counts.save(folder, np.arange(len(ITEMS)))
    return SearchStatistics(folder)


def test_shoppers_count_once_for_a_query_and_few_count_nothing() -> None:
    counts = counted(
        searched(
            ("u 1", "Desk Lamp", "lamp"),
            ("u 1", "Desk Lamp", "lamp"),
            ("u 2", "Desk Lamp", "lamp"),
            ("u 3", "Desk Lamp", "chair"),  # one shopper alone
        )
    )
    assert counts.rows.tolist() == [0] and counts.at.tolist() == [0, 1]
    assert counts.amounts[0] == pytest.approx(2.0, rel=0.05)  # two shoppers, a day or two old


def test_what_came_after_another_search_or_visit_is_not_counted() -> None:
    events = [
        ("u 1", HistoryEvent(type="search", query="Desk Lamp", time=0.0)),
        ("u 1", HistoryEvent(type="search", query="sofa", time=10.0)),
        ("u 1", HistoryEvent(type="view", item="chair", time=20.0)),
        ("u 1", HistoryEvent(type="view", item="desk", time=20.0 + 31 * 60)),
    ]
    made = sequences_of(events, TYPES)
    made = made.with_rows(np.array([ITEMS.index(item) for item in made.item_ids]))
    counts = counted(made, least=1)
    assert counts.rows.tolist() == [ITEMS.index("chair")]


def test_a_query_backs_off_to_those_that_mean_nearly_the_same(tmp_path: Path) -> None:
    statistics = served(
        counted(searched(("u 1", "Desk Lamp", "lamp"), ("u 2", "Desk Lamp", "lamp"))), tmp_path
    )
    same = statistics.taken("  desk LAMP ", np.array([1.0, 0.0], np.float32))
    near = statistics.taken("desk lamps", np.array(QUERIES["desk lamps"], np.float32))
    assert same.numbers.tolist() == near.numbers.tolist() == [0]
    assert same.amounts[0] > near.amounts[0] > 0
    assert same.amounts[0] < 0.5  # two shoppers say little
    far = statistics.taken("sofa", np.array(QUERIES["sofa"], np.float32))
    assert not len(far.numbers)


def test_a_shop_without_searches_publishes_nothing_of_them(tmp_path: Path) -> None:
    made = sequences_of([("u 1", HistoryEvent(type="view", item="lamp", time=0.0))], TYPES)
    counts = count_searches(made.with_rows(np.array([0])), None, TrainSettings(), 30.0)
    assert not len(served(counts, tmp_path).taken("lamp", np.zeros(2, np.float32)).numbers)
