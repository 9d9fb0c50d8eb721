"""Lists that are too long are counted where they stand, and never built."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.times import TimeSettings
from reranker.errors import BadRequest
from reranker.events.bots import EventRates
from reranker.events.cleaning import Cleaner
from reranker.events.settings import EventSettings
from service.api.events import check_events, split_events
from service.api.requests import RequestReader
from service.http import received
from service.http.answers import Malformed
from service.http.received import has_more, refuse_long_lists
from service.http.settings import LimitSettings

TEXT = st.text(alphabet='a",[]{}\\\n:é ', max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
MILLIONS = 2_000_000
LIMIT = 10_000


@pytest.fixture(autouse=True)
def _count_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received, "CHEAP", 0)


@given(st.lists(VALUES, max_size=12), st.integers(1, 12), st.sampled_from([None, 1]))
@settings(max_examples=300)
def test_members_are_counted_as_the_decoder_counts_them(
    values: list[Any], most: int, indent: int | None
) -> None:
    for ascii_only in (True, False):
        body = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
        assert has_more(body, most) == (len(values) > most)


@given(st.dictionaries(st.sampled_from("abcdef"), VALUES, max_size=6), st.integers(1, 4))
@settings(max_examples=300)
def test_lists_of_an_object_are_counted_each_for_itself(value: dict[str, Any], most: int) -> None:
    long = [
        name for name, held in value.items() if isinstance(held, list | dict) and len(held) > most
    ]
    body = json.dumps(value).encode()
    if not long:
        refuse_long_lists(body, {"a": most})
        return
    with pytest.raises(BadRequest) as refused:
        refuse_long_lists(body, {"a": most})
    assert refused.value.field == long[0]


@given(st.binary(max_size=60) | st.text(alphabet='[]{},"\\a1', max_size=60).map(str.encode))
@settings(max_examples=300)
def test_no_bytes_are_too_much_for_it(body: bytes) -> None:
    has_more(b"[" + body, 3)
    try:
        refuse_long_lists(b'{"a":' + body, {"a": 3})
    except BadRequest:
        pass


TINY = {
    "numbers": b"[" + b"1," * MILLIONS + b"1]",
    "objects": b"[" + b"{}," * MILLIONS + b"{}]",
    "lists": b"[" + b"[]," * MILLIONS + b"[]]",
    "texts": b"[" + b'"",' * MILLIONS + b'""]',
    "not ended": b"[" + b"0," * MILLIONS,
    "spaced": b" \n[" + b"1 ,\n" * MILLIONS + b"1]",
    "nested": b"[" + b"[[]]," * MILLIONS + b"1]",
    "lines": b"{}\n" * MILLIONS,
    "broken lines": b"{\n" * MILLIONS,
    "lines of carriage returns": b"{}\r" * MILLIONS,
}


def peak(call: Any) -> int:
    """Bytes that Python took at most while this ran."""
    tracemalloc.start()
    try:
        call()
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return most


@pytest.mark.promise(23)
@pytest.mark.parametrize("kind", TINY)
def test_millions_of_events_are_refused_before_they_are_split(kind: str) -> None:
    def refused() -> None:
        with pytest.raises(BadRequest, match=r"more than 10,000.*events\.request_events"):
            split_events(TINY[kind], LIMIT)

    assert peak(refused) < 8_000_000


@pytest.mark.parametrize("body", [b'["' + b"a," * MILLIONS, b"[" + b"\n" * MILLIONS, b"[" * 10**6])
def test_other_nonsense_is_no_list_that_is_too_long(body: bytes) -> None:
    with pytest.raises(Malformed):
        split_events(body, LIMIT)


def test_commas_within_events_are_not_members() -> None:
    event = b'{"user": "a,b", "more": [[1,2,{"x": [3,4]}],2], "attributes": {"a": {"b": 1}}}'
    body = b"[" + b",".join([event] * 500) + b"]"
    assert len(split_events(body, 500)) == 500
    with pytest.raises(BadRequest):
        split_events(body, 499)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"candidates": [' + b'{"id":"1"},' * MILLIONS + b"{}]}", "candidates"),
        (b'{"query": "x", "history" : [' + b"{}," * MILLIONS, "history"),
        (b'{"weights": {' + b'"a":1,' * MILLIONS + b'"b":1}}', "weights"),
    ],
)
def test_a_request_with_millions_of_members_is_refused_by_field(body: bytes, field: str) -> None:
    def refused() -> None:
        with pytest.raises(BadRequest) as error:
            refuse_long_lists(body, {"candidates": 5000, "history": 1000})
        assert error.value.field == field

    assert peak(refused) < 8_000_000


NESTED = {
    "lists": b'{"x":[' + b"[]," * MILLIONS + b"[]]}",
    "in an attribute": b'{"user":"u","attributes":{"a":[' + b"{}," * MILLIONS + b"{}]}}",
    "keys": b'{"a":{' + b",".join(b'"%x":[]' % number for number in range(600_000)) + b"}}",
}


@pytest.mark.promise(23)
@pytest.mark.parametrize("kind", NESTED)
@pytest.mark.parametrize("form", [b"%s", b"[%s]", b"{}\n%s"])
def test_millions_of_values_within_an_event_are_not_built(kind: str, form: bytes) -> None:
    body = form % NESTED[kind]

    def refused() -> None:
        parts = split_events(body, LIMIT)
        checked = check_events(
            parts,
            Cleaner(EventSettings(), TimeSettings(), strict=True),
            EventSettings(),
            LimitSettings(),
            EventRates(EventSettings()),
        )
        assert len(checked.rejected) == len(parts)
        assert "more than 10,000 values" in checked.rejected[-1].message

    assert peak(refused) < 2 * len(body) + 8_000_000


@pytest.mark.promise(23)
def test_what_is_no_weight_is_named_and_not_built() -> None:
    body = b'{"candidates":[{"id":"1"}],"weights":{"b":-1.5,"a":[' + b"[]," * MILLIONS + b"[]]}}"

    def refused() -> None:
        with pytest.raises(BadRequest) as error:
            RequestReader().read(body)
        assert error.value.field == "weights.a"

    assert peak(refused) < 8_000_000
