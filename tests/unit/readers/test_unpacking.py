"""Gzip from strangers: all of it or a named failure, and never more memory than was allowed."""

import gzip
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.readers.unpacking import BadPacking, TooLarge, lines, unpacked, unpacked_pieces
from service.page.parts.request_sets import RequestSets


@pytest.fixture(scope="module")
def packed_zeros() -> bytes:
    return gzip.compress(bytes(200_000_000), 1)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_members_one_after_the_other_are_one(parts: list[bytes]) -> None:
    assert unpacked(b"".join(map(gzip.compress, parts)), 2000) == b"".join(parts)


@pytest.mark.parametrize("size", [0, 1, 70_000, 300_000])
def test_the_limit_is_exact(size: int) -> None:
    packed = gzip.compress(b"x" * size)
    assert len(unpacked(packed, size)) == size
    if size:
        with pytest.raises(TooLarge, match=f"more than {size - 1:,} bytes"):
            unpacked(packed, size - 1)


def test_tiny_members_are_copied_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """zlib copies what it leaves: handed all of it, 8 MB of empty members took minutes."""
    empty, copied = gzip.compress(b""), []
    real = zlib.decompressobj

    class Watched:
        def __init__(self, bits: int) -> None:
            self._member = real(bits)

        def decompress(self, block: bytes, most: int) -> bytes:
            copied.append(len(block))
            return self._member.decompress(block, most)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._member, name)

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    count = 20_000
    assert unpacked(empty * count + b"\0" * 70_000 + gzip.compress(b"end"), 3) == b"end"
    assert sum(copied) < count * 5000


@pytest.mark.parametrize("zeros", [0, 1, 4075, 4076, 4077, 9000])
def test_members_may_begin_anywhere(zeros: int) -> None:
    packed = gzip.compress(b"a") + bytes(zeros) + gzip.compress(b"b") + bytes(zeros)
    assert unpacked(packed, 2) == b"ab"


def test_a_bomb_is_given_up_before_it_goes_off(packed_zeros: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(TooLarge):
        unpacked(packed_zeros, 1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


@pytest.mark.parametrize(
    "data",
    [b"", b"plain", gzip.compress(b"x" * 999)[:-3], gzip.compress(b"x") + b"more"],
    ids=["empty", "plain", "torn", "more"],
)
def test_what_is_no_whole_gzip_is_named(data: bytes) -> None:
    with pytest.raises(BadPacking):
        unpacked(data, 10_000)


@given(st.binary(max_size=3000))
def test_any_bytes_unpack_or_fail_by_name(data: bytes) -> None:
    try:
        unpacked(data, 1000)
    except (BadPacking, TooLarge):
        pass


@given(st.binary(max_size=500))
def test_lines_are_those_of_the_whole(data: bytes) -> None:
    expected = data.split(b"\n")
    found = list(lines(unpacked_pieces(gzip.compress(data), 1000), 1000))
    assert found == (expected if expected[-1] else expected[:-1])


def test_a_line_without_an_end_is_given_up(packed_zeros: bytes) -> None:
    with pytest.raises(TooLarge, match="line is longer than 1,000,000 bytes"):
        list(lines(unpacked_pieces(packed_zeros, 10**9), 1_000_000))


def test_an_uploaded_bomb_costs_a_line_of_memory(tmp_path: Path, packed_zeros: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(Failure, match=r"bomb.jsonl.gz: A line is longer than 8,388,608 bytes"):
        RequestSets(tmp_path).save("bomb.jsonl.gz", packed_zeros)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000  # of the 200 MB that it stands for
    assert list(tmp_path.rglob("*.gz")) == []


def test_an_upload_is_kept_as_it_came(tmp_path: Path) -> None:
    line = b'{"id": "a", "query": "x", "candidates": [{"id": "1"}], "ratings": {"1": 1}}\n'
    sets = RequestSets(tmp_path)
    sets.save("two.jsonl.gz", gzip.compress(line * 2))
    assert [one.line for one in sets.summaries("two.jsonl.gz")] == [1, 2]
    with pytest.raises(Failure, match="not gzipped"):
        sets.save("plain.jsonl.gz", line)
