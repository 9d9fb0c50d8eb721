"""The demo shop's files: the same every time, well formed, and true to what is hidden in them."""

import gzip
import hashlib
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.items.records import read_items
from reranker.evaluation.requests import read_requests
from reranker.metrics.ranking import grades_of, ndcg
from service.demo.season.clicks import PAGE, TYPES, examined
from service.demo.season.data import FILES, SMALL, Made, Size, write_shop
from service.demo.season.oracle import (
    SEGMENTS,
    Truth,
    gain_report,
    read_oracle,
    segment_of,
    share_of_possible_gain,
)
from service.demo.shop.items import KINDS
from service.demo.shop.vocabulary import DEPARTMENTS
from service.page.parts.request_sets import EVENTS, ITEMS, ORACLE, REQUESTS

TINY = Size(per_kind=4, users=120, visitors=20, requests=10)
Row = dict[str, Any]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop."""
    folder = tmp_path_factory.mktemp("small")
    write_shop(folder, SMALL)
    return folder


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Made]:
    """The shop of `reranker demo`."""
    folder = tmp_path_factory.mktemp("full")
    return folder, write_shop(folder)


def rows(path: Path) -> list[Row]:
    with gzip.open(path, "rb") as file:
        return [msgspec.json.decode(line) for line in file]


def seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


@pytest.fixture(scope="session")
def items(full: tuple[Path, Made]) -> list[Row]:
    return rows(full[0] / ITEMS)


@pytest.fixture(scope="session")
def events(full: tuple[Path, Made]) -> list[Row]:
    return rows(full[0] / EVENTS)


@pytest.fixture(scope="session")
def requests(full: tuple[Path, Made]) -> list[Row]:
    return rows(full[0] / REQUESTS)


@pytest.fixture(scope="session")
def truths(full: tuple[Path, Made]) -> dict[str, Truth]:
    return read_oracle(full[0] / ORACLE)


def test_two_processes_write_the_same_bytes(small: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from service.demo.season.data import SMALL, write_shop; "
        f"write_shop(Path({str(tmp_path)!r}), SMALL)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in FILES:
        ours, theirs = ((folder / name).read_bytes() for folder in (small, tmp_path))
        assert hashlib.sha256(ours).digest() == hashlib.sha256(theirs).digest(), name


def test_another_seed_is_another_shop(small: Path, tmp_path: Path) -> None:
    write_shop(tmp_path, SMALL, seed=1)
    assert (tmp_path / ITEMS).read_bytes() != (small / ITEMS).read_bytes()


def test_files_that_are_there_are_left_alone(tmp_path: Path) -> None:
    made = write_shop(tmp_path, TINY)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in FILES}
    assert write_shop(tmp_path, TINY) == made
    assert before == {name: (tmp_path / name).stat().st_mtime_ns for name in FILES}
    (tmp_path / ITEMS).write_bytes(b"half a file")
    assert write_shop(tmp_path, TINY) == made
    assert len(rows(tmp_path / ITEMS)) == made.lines[ITEMS]


def test_the_shop_is_as_big_as_promised(full: tuple[Path, Made], items: list[Row]) -> None:
    lines = full[1].lines
    assert lines[ITEMS] == len(items) >= 5_000
    assert 100_000 <= lines[EVENTS] <= 200_000
    assert 500 <= lines[REQUESTS] <= 800
    assert lines[REQUESTS] == lines[ORACLE]


def test_our_own_readers_take_every_line(full: tuple[Path, Made], items: list[Row]) -> None:
    bad: list[object] = []
    assert sum(1 for _ in read_items(full[0] / ITEMS, bad.append)) == len(items)
    assert sum(1 for _ in read_requests(full[0] / REQUESTS, bad.append)) == full[1].lines[REQUESTS]
    assert bad == []


def test_items_are_many_and_different(items: list[Row]) -> None:
    assert len({item["id"] for item in items}) == len(items)
    assert len({item["title"] for item in items}) > 0.9 * len(items)
    assert len({item["description"] for item in items}) > 0.9 * len(items)
    departments = Counter(item["category"].split(" > ")[0] for item in items)
    assert len(departments) >= 12
    assert min(departments.values()) > 200
    assert all(len(item["category"].split(" > ")) == 3 for item in items)
    assert 0.9 < sum(item["available"] for item in items) / len(items) < 0.99
    models = [item["attributes"]["model"] for item in items if "model" in item["attributes"]]
    assert len(set(models)) == len(models) > 1_000


def test_texts_are_clean(items: list[Row]) -> None:
    for item in items:
        for text in (item["title"], item["description"]):
            assert text == text.strip() and "  " not in text, text
            assert not any(bad in text for bad in ("{", "None", " ,", "..", "()", " .")), text
        assert 15 <= len(item["title"]) <= 110, item["title"]
        assert item["description"].endswith("."), item["description"]
        assert item["price"] > 0


def test_kinds_go_with_kinds_that_exist() -> None:
    names = {kind.name for kind in KINDS}
    assert len(names) == len(KINDS)
    assert all(set(kind.goes) <= names and kind.goes for kind in KINDS)
    assert len(DEPARTMENTS) >= 12


def test_events_are_in_order_and_name_items_or_queries(events: list[Row], items: list[Row]) -> None:
    known = {item["id"] for item in items}
    assert {event["type"] for event in events} == set(TYPES)
    times = [event["time"] for event in events]
    assert times == sorted(times)
    for event in events:
        assert ("query" in event) == (event["type"] == "search")
        assert event.get("item", event.get("query")) in known or "query" in event
        assert event["session"]
    assert 0.02 < sum("user" not in event for event in events) / len(events) < 0.3
    span = seconds(times[-1]) - seconds(times[0])
    assert 80 < span / 86_400 < 95


def test_no_request_knows_the_future(requests: list[Row], events: list[Row]) -> None:
    now = {owner(request): seconds(request["time"]) for request in requests}
    assert len(now) == len(requests)
    for request in requests:
        for event in request["history"]:
            assert seconds(event["time"]) < now[owner(request)]
    for event in events:
        if owner(event) in now:
            assert seconds(event["time"]) < now[owner(event)]


def owner(row: Row) -> str:
    return str(row.get("user") or row["session"])


def test_histories_are_the_stored_events(
    requests: list[Row], events: list[Row], truths: dict[str, Truth]
) -> None:
    stored = defaultdict(list)
    for event in events:
        stored[owner(event)].append(
            {key: value for key, value in event.items() if key not in ("user", "session")}
        )
    for request in requests:
        mine = stored[owner(request)]
        assert request["history"] == mine[-100:]
        assert truths[request["id"]].history == len(mine)


def test_histories_of_every_length(requests: list[Row], truths: dict[str, Truth]) -> None:
    segments = Counter(segment_of(truths[request["id"]].history) for request in requests)
    assert set(segments) == set(SEGMENTS)
    assert min(segments.values()) >= 50


def test_candidates_are_rated_and_the_oracle_ranks_all_of_them(
    requests: list[Row], truths: dict[str, Truth]
) -> None:
    for request in requests:
        ids = [candidate["id"] for candidate in request["candidates"]]
        scores = [candidate["score"] for candidate in request["candidates"]]
        assert scores == sorted(scores, reverse=True)
        assert set(request["ratings"]) == set(ids) == set(truths[request["id"]].ranking)
        assert set(request["ratings"].values()) <= {0, 1, 2, 3}
        assert max(request["ratings"].values()) > 0
    used = Counter(grade for request in requests for grade in request["ratings"].values())
    assert used[1] > used[2] > used[3] > len(requests)


def quality(order: list[str], ratings: dict[str, float]) -> float:
    return ndcg(grades_of(order, ratings), list(ratings.values()), 10)


def test_nothing_ranks_better_than_the_oracle(
    requests: list[Row], truths: dict[str, Truth]
) -> None:
    engine, best = [], []
    for request in requests:
        engine.append(quality([one["id"] for one in request["candidates"]], request["ratings"]))
        best.append(quality(truths[request["id"]].ranking, request["ratings"]))
        assert best[-1] == pytest.approx(1.0)
        assert engine[-1] <= best[-1]
    mean = sum(engine) / len(engine)
    assert 0.35 < mean < 0.65, "the engine leaves room, and is no straw man"


@given(st.data())
def test_no_shuffle_beats_the_oracle(
    requests: list[Row], truths: dict[str, Truth], data: st.DataObject
) -> None:
    request = data.draw(st.sampled_from(requests))
    truth = truths[request["id"]]
    shuffled = data.draw(st.permutations(truth.ranking))
    best = quality(truth.ranking, request["ratings"])
    assert quality(shuffled, request["ratings"]) <= best + 1e-9
    worth = [truth.utility.get(item, 0.0) for item in truth.ranking]
    assert worth == sorted(worth, reverse=True)


def test_clicks_favour_the_first_places(events: list[Row]) -> None:
    places = Counter(event["position"] for event in events if "position" in event)
    assert set(places) <= set(range(1, PAGE + 1))
    assert places[1] > places[3] > places[8] > places[PAGE] > 0
    # far more than relevance alone, which falls slowly over the first page
    assert places[1] > 4 * places[12]
    chances = examined(np.arange(PAGE)).tolist()
    assert chances == sorted(chances, reverse=True)


def test_shoppers_stay_with_their_brands(events: list[Row], items: list[Row]) -> None:
    """A shopper's two dearest brands so far win more of the later purchases than for strangers."""
    brand_of = {item["id"]: item["brand"] for item in items}
    bought = defaultdict(list)
    for event in events:
        if event["type"] == "purchase" and "user" in event:
            bought[event["user"]].append(brand_of[event["item"]])
    many = [brands for brands in bought.values() if len(brands) >= 6]
    assert len(many) > 300
    own = other = total = 0
    for mine, theirs in zip(many, many[1:] + many[:1], strict=True):
        half = len(mine) // 2
        dear = {brand for brand, _ in Counter(mine[:half]).most_common(2)}
        own += sum(brand in dear for brand in mine[half:])
        other += sum(brand in dear for brand in theirs[half:][: len(mine) - half])
        total += len(mine) - half
    assert own / total > 2 * (other / total)


def test_share_of_possible_gain_by_hand() -> None:
    assert share_of_possible_gain(0.5, 0.6, 0.9) == pytest.approx(0.1 / 0.4)
    assert share_of_possible_gain(0.5, 0.4, 0.9) == pytest.approx(-0.1 / 0.4)
    assert share_of_possible_gain(0.9, 0.9, 0.9) is None


def test_gain_report_splits_by_history() -> None:
    truths = {
        name: Truth(name, history, "tent", {}, [], [], {})
        for name, history in (("a", 0), ("b", 1), ("c", 4), ("d", 5))
    }
    engine, best = dict.fromkeys(truths, 0.4), dict.fromkeys(truths, 1.0)
    blend = {"a": 0.4, "b": 0.7, "c": 1.0, "d": 0.1}
    report = {row.segment: row for row in gain_report(truths, engine, blend, best)}
    assert list(report) == ["all", "0", "1", "2-4", "5+"]
    shares = [row.share for row in report.values()]
    assert shares == [pytest.approx(x) for x in (0.15 / 0.6, 0.0, 0.5, 1.0, -0.5)]
    del blend["d"]
    assert [row.segment for row in gain_report(truths, engine, blend, best)][-1] == "2-4"


def test_a_lost_oracle_says_how_to_get_it_back(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="reranker demo"):
        read_oracle(tmp_path / ORACLE)
