"""test_judged_requests.py: requests files, sound and dirty, as shops write them."""

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.readers.bad_lines import BadLine, BadLines
from reranker.evaluation.requests import (
    JudgedRequestReader,
    read_requests,
    rerank_request,
)
from reranker.requests import Event, JudgedRequest, RerankRequest

GOOD: dict[str, Any] = {
    "id": "q1",
    "query": "red shoes",
    "time": 1_700_001_000,
    "user": "u1",
    "history": [{"type": "view", "item": "a", "time": 1_700_000_900}],
    "candidates": [{"id": "a", "score": 2.5}, {"id": "b", "text": "boots"}],
    "ratings": {"a": 0.5, "z": 3},
}


def line(**changes: Any) -> bytes:
    return msgspec.json.encode(GOOD | changes)


def written(folder: Path, name: str, *lines: bytes | str) -> Path:
    path = folder / name
    data = b"\n".join(one if isinstance(one, bytes) else one.encode() for one in lines) + b"\n"
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def read(path: Path) -> tuple[list[JudgedRequest], list[BadLine]]:
    bad: list[BadLine] = []
    return list(read_requests(path, bad.append)), bad


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz"])
def test_a_request_is_read_with_fractional_grades_and_ratings_beyond_the_candidates(
    tmp_path: Path, name: str
) -> None:
    (request,), bad = read(written(tmp_path, name, line()))
    assert not bad
    assert request.ratings == {"a": 0.5, "z": 3.0}
    assert [candidate.id for candidate in request.candidates] == ["a", "b"]


def test_only_candidates_are_required_and_unknown_keys_are_left_out(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "r.jsonl",
        '{"candidates": [{"id": "a"}]}',
        "",
        line(shop="x", candidates=[{"id": "a", "price": 3}]),
        line(history=[{"type": "view", "item": "a", "page": 7}]),
    )
    requests, bad = read(path)
    assert not bad
    assert [request.id for request in requests] == ["", "q1", "q1"]  # equal ids are all kept
    assert rerank_request(requests[2]).history == [Event("view", "a")]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"candidates": [', "JSON ends in the middle"),
        (b'{"candidates": [{"id": "a", "score": NaN}]}', "NaN"),
        (b'{"candidates": [{"id": "a", "score": 1e999}]}', "out of range"),
        (b'{"candidates": [{"id": "\xff"}]}', "not valid UTF-8"),
        (b"[]", "an object is expected"),
        (b"{}", "missing required field `candidates`"),
        (line(candidates=[]), "candidates is empty"),
        (line(candidates=[{"id": "a"}, {"id": "b"}, {"id": "a"}]), "'a' 2 times"),
        (line(candidates=[{"id": True}]), "candidates[0].id is True; a text is expected"),
        (line(candidates=[{"id": ""}]), "candidates[0].id is empty"),
        (line(candidates=[{"id": None}]), "missing required field `id` - at `$.candidates[0]`"),
        (line(candidates=[{"id": 7}, {"id": " 7 "}]), "'7' 2 times"),
        (line(ratings={"a": 1, " a": 1}), "ratings holds 'a' twice, as 'a' and as ' a'"),
        (line(ratings={" ": 1}), "ratings is blank"),
        (line(user=["u"]), "user is ['u']; a text is expected"),
        (line(candidates=["a"]), "Expected `object`, got `str` - at `$.candidates[0]`"),
        (line(candidates="a"), "Expected `array`, got `str` - at `$.candidates`"),
        (line(ratings={"a": -1}), "ratings.a is -1.0; grades are numbers from 0"),
        (line(ratings={"a": 2000}), "to 1000"),
        (line(ratings={"a": "3"}), "Expected `float`, got `str`"),
        (line(time="yesterday"), "time is 'yesterday'"),
        (line(time=True), "time is True"),
        (line(history=[{"item": "a"}]), "history[0].type is missing"),
        (line(history=[{"type": ["view"], "item": "a"}]), "history[0].type is ['view']"),
        (line(history=[{"type": "view", "item": "a", "time": "x"}]), "history[0].time is 'x'"),
        (line(history=["view"]), "history[0]: 'view' is no event"),
        (line(history="view"), "history is 'view'; an array of events is expected"),
    ],
)
def test_a_bad_line_is_reported_and_skipped(tmp_path: Path, bad: bytes, reason: str) -> None:
    requests, found = read(written(tmp_path, "r.jsonl", line(), bad, line()))
    assert len(requests) == 2
    assert [one.line for one in found] == [2]
    assert reason in found[0].reason


def test_too_many_bad_lines_fail_naming_the_first(tmp_path: Path) -> None:
    path = written(tmp_path, "r.jsonl", *[line()] * 98, "x", "{}")
    bad = BadLines(path)
    good = sum(1 for _ in read_requests(path, bad.add))
    bad.check(good, 0.02)
    with pytest.raises(
        Failure, match=r"2 of 100 lines .* more than the allowed 1.00%: 1 x .* \(line 99\)"
    ):
        bad.check(good, 0.01)


@pytest.mark.parametrize("name", ["r.csv", "r.txt", "missing.jsonl"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name != "missing.jsonl":
        path.write_text("x")
    with pytest.raises(Failure):
        read(path)


NOON = 1_700_001_000.0  # the time of GOOD


def test_point_in_time_history_ends_before_the_request() -> None:
    written = [
        NOON - 1,
        NOON,
        NOON + 1,
        "2023-11-14T22:29:59.9Z",
        None,  # of the one before it
        "2023-11-14T23:00:00+00:00",
        None,
    ]
    history = [{"type": "view", "item": str(at), "time": at} for at in written]
    request = rerank_request(JudgedRequestReader().read(GOOD | {"history": history}))
    times = [event.time for event in request.history or []]
    assert times == [NOON - 1, NOON - 0.1, NOON - 0.1]
    # without a time of its own "now" is the newest event, so all of them are the past
    request = rerank_request(JudgedRequestReader().read(GOOD | {"history": history, "time": None}))
    assert len(request.history or []) == len(written)


UNITS = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}


@settings(deadline=None)
@given(
    times=st.lists(st.floats(NOON - 1000, NOON + 1000)),
    now=st.floats(NOON - 1000, NOON + 1000),
    units=st.tuples(st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS))),
)
def test_no_event_at_or_after_the_request_is_ever_used(
    times: list[float], now: float, units: tuple[str, str]
) -> None:
    of_history, of_request = (UNITS[unit] for unit in units)
    history = [{"type": "view", "item": "a", "time": at * of_history} for at in times]
    request = rerank_request(
        JudgedRequestReader().read(GOOD | {"history": history, "time": now * of_request})
    )
    kept = [event.time for event in request.history or []]
    assert all(float(at or 0) < now + 1e-3 for at in kept)
    assert len(kept) <= sum(at < now + 1e-3 for at in times)
    if of_history == of_request == 1:
        assert kept == [at for at in times if at < now]


@pytest.mark.parametrize(
    ("time", "timing"),
    [
        (NOON, "known"),
        (NOON * 1e3, "known"),
        (NOON * 1e6, "known"),
        (NOON * 1e9, "known"),
        ("2023-11-14T22:30:00Z", "known"),
        ("20231114T223000Z", "known"),
        ("2023-11-14 23:30:00 +01:00", "known"),
        ("2023-11-14 22:30:00", "no_zone"),
        (None, "missing"),
        ("", "missing"),
        (0, "implausible"),
        (2026, "implausible"),
        (45000.41, "implausible"),
        ("2099-01-01T00:00:00Z", "implausible"),
        (4_000_000_000, "implausible"),
    ],
)
def test_a_requests_time_is_read_in_every_form(time: object, timing: str) -> None:
    found = JudgedRequestReader().read(GOOD | {"time": time})
    assert (found.timing, found.clock) == (timing, timing)
    assert found.time == (None if timing in ("missing", "implausible") else NOON)


def test_times_that_say_less_than_they_should_are_told() -> None:
    reader = JudgedRequestReader()
    for time in (NOON, NOON * 1e3, "2023-11-14 22:30:00", 0, None):
        reader.read(GOOD | {"time": time, "history": [{"type": "swipe", "item": "a"}]})
    assert [warning.split(";")[0] for warning in reader.warnings()] == [
        "1 requests have an implausible time",
        "1 requests have a time without a zone",
        "times come in mixed units: 1 in s, 1 in ms",
        "5 history events of types that the setting events.types does not have, such as 'swipe', "
        "are left out",
    ]


def test_ids_are_read_in_their_one_form_and_null_is_absent() -> None:
    found = JudgedRequestReader().read(
        {
            "id": 7,
            "query": None,
            "user": " u1\u00a0",
            "session": None,
            "time": None,
            "candidates": [{"id": 1000.0, "score": None, "text": None}, {"id": " b "}],
            "ratings": {" 1000 ": 1, "b": None},
            "history": [{"type": "VIEW", "item": 12, "time": NOON * 1e3, "price": None}],
            "timing": "known",
        }
    )
    assert (found.id, found.user, found.session, found.query) == ("7", "u1", None, "")
    assert [one.id for one in found.candidates] == ["1000", "b"]
    assert found.ratings == {"1000": 1.0}  # nobody rated b
    assert found.history == [Event("view", "12", time=NOON)]
    assert found.clock == "missing"


def test_what_is_sent_is_the_request_and_never_its_answers() -> None:
    sent = rerank_request(JudgedRequestReader().read(dict(GOOD)))
    assert isinstance(sent, RerankRequest)
    assert (sent.query, sent.user, sent.time, sent.blend) == ("red shoes", "u1", NOON, None)
    assert b"ratings" not in msgspec.json.encode(sent)
    no_history = rerank_request(JudgedRequestReader().read({"candidates": [{"id": "a"}]}))
    assert no_history.history is None  # so that a stored history may be used
