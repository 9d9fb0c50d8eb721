"""The compiled loops say what numpy's say; and both do what their names promise."""

import importlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from indexes.kernels import kernels, numpy_kernels
from indexes.kernels.numpy_kernels import (
    AMOUNT,
    COUNTED,
    DOT,
    LOOKED_UP,
    MEAN_SHARE,
    NEAREST,
    PRICE,
    SAME,
    SHARE,
    TAKEN,
    WHOLE,
    IdLookup,
    Program,
)

ROOT = Path(__file__).parents[3]
CLOSE = 1e-6
sizes = st.sampled_from([0, 1, 2, 3, 7, 33])
seeds = st.integers(0, 2**32 - 1)
odd = st.sampled_from([0.0, np.nan, np.inf, -np.inf])
numbers = st.floats(-10, 10, width=32)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The compiled loops: of this installation, else built here."""
    if kernels.COMPILED:
        yield importlib.import_module("indexes.kernels.compiled_kernels")
        return
    compiler = shutil.which("cc")
    if compiler is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("there is no C compiler here, or Python's headers are not installed")
    folder = tmp_path_factory.mktemp("built")
    shared = ["-shared", *(["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else [])]
    subprocess.run(
        [
            *(compiler, "-O3", "-ffp-contract=off", "-fPIC", *shared),
            *(str(ROOT / "indexes/kernels/_compiled.c"), f"-I{sysconfig.get_path('include')}"),
            *("-o", str(folder / f"_compiled{sysconfig.get_config_var('EXT_SUFFIX')}")),
        ],
        check=True,
    )
    import indexes.kernels

    indexes.kernels.__path__.append(str(folder))
    try:
        yield importlib.import_module("indexes.kernels.compiled_kernels")
    finally:
        indexes.kernels.__path__.remove(str(folder))


def same(ours: npt.NDArray[Any], theirs: npt.NDArray[Any], close: float = CLOSE) -> None:
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=close, atol=close)


def vectors_of(data: st.DataObject, n: int, d: int) -> npt.NDArray[np.float32]:
    """Vectors of length 1, some of them zeros, one of them perhaps with what is no number."""
    rng = np.random.default_rng(data.draw(seeds))
    vectors = rng.standard_normal((n, d)).astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    vectors[rng.random(n) < 0.1] = 0.0
    if n and data.draw(st.booleans()):
        vectors[data.draw(st.integers(0, n - 1)), 0] = data.draw(odd)
    return vectors


def ragged(rng: np.random.Generator, rows: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    lengths = rng.integers(0, 5, rows)
    at = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return rng.integers(0, 12, int(at[-1]) + 1, dtype=np.uint32), at


@given(st.data(), sizes, st.sampled_from([1, 5, 16, 33, 384]))
@settings(max_examples=60, deadline=None)
def test_vectors(compiled: ModuleType, data: st.DataObject, n: int, d: int) -> None:
    vectors, towards = vectors_of(data, n, d), vectors_of(data, data.draw(sizes), d)
    programs: list[Program] = [(DOT, vectors, direction) for direction in towards[:3]]
    if len(towards):
        middle = np.linspace(-0.1, 0.1, len(towards), dtype=np.float32)
        lengths = np.linspace(0.5, 2, n, dtype=np.float32)
        places = np.random.default_rng(n).integers(0, len(towards), data.draw(st.integers(1, 9)))
        programs.append((NEAREST, vectors, towards, middle, places, lengths))
    rows = np.full(n, -1)  # vectors count without a row, too
    with np.errstate(invalid="ignore", over="ignore"):
        same(compiled.dots(vectors, towards), numpy_kernels.dots(vectors, towards))
        same(compiled.filled(rows, programs), numpy_kernels.filled(rows, programs))


@given(seeds, st.sampled_from([1, 2, 3, 40]), st.sampled_from([1, 5, 16, 33, 384]))
@settings(max_examples=60, deadline=None)
def test_likeness(compiled: ModuleType, seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = np.abs(rng.standard_normal((n, d))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    worth = rng.random(n).astype(np.float32) + np.float32(0.01)
    same(compiled.likeness(vectors, worth), numpy_kernels.likeness(vectors, worth))
    for nothing in (vectors * 0, vectors[:0]):
        for likeness in (compiled.likeness, numpy_kernels.likeness):
            assert likeness(nothing, worth[: len(nothing)]).tolist() == [0.0] * len(nothing)


@pytest.mark.parametrize("d", [1, 15, 16, 384])
def test_a_rows_product_is_the_same_to_the_bit_whatever_stands_beside_it(
    compiled: ModuleType, d: int
) -> None:
    rng = np.random.default_rng(d)
    vectors = rng.standard_normal((5, d)).astype(np.float32)
    towards = rng.standard_normal((6, d)).astype(np.float32)
    whole = compiled.dots(vectors, towards)
    for i in range(5):
        for j in range(6):
            alone = compiled.dots(vectors[i : i + 1].copy(), towards[j : j + 1].copy())
            assert alone[0, 0] == whole[i, j]


@given(seeds, sizes, st.sampled_from([1, 2, 384]))
@settings(max_examples=40, deadline=None)
def test_decoding(compiled: ModuleType, seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, 2 * d * 9 + 1, dtype=np.uint8)[1:]  # not aligned, as when mapped
    rows = rng.integers(0, 9, n)
    ours, theirs = compiled.decoded(codes, rows, d), numpy_kernels.decoded(codes, rows, d)
    assert ours.shape == theirs.shape == (n, d)
    assert ours.tobytes() == theirs.tobytes()


@given(seeds, st.sampled_from([0, 1, 2, 33, 600]))
@settings(max_examples=100, deadline=None)
def test_what_is_read_of_items_to_the_bit(compiled: ModuleType, seed: int, n: int) -> None:
    """Of more rows than are fetched at once, too; -1 is no item."""
    rng = np.random.default_rng(seed)
    values, at = ragged(rng, 9)
    rows = rng.integers(-1, 9, n)
    keys = np.unique(rng.integers(0, 12, rng.integers(0, 16)))
    worth = rng.random(len(keys))
    table = rng.integers(-2, 12, 10, dtype=np.int32)
    programs: list[Program] = [
        *((TAKEN, table.astype(kind)) for kind in (np.int8, np.int32, np.float32, np.float64)),
        (SAME, table.astype(np.uint64), 7),
        (COUNTED, values, at, keys.astype(np.uint32)),
        (COUNTED, values, at, keys[:3].astype(np.uint32)),
        (WHOLE, values, at, keys.astype(np.uint32)),
        (SHARE, table.astype(np.uint64), keys.astype(np.uint64), worth),
        (MEAN_SHARE, values, at, keys.astype(np.uint32), worth),
        (AMOUNT, table, keys.astype(np.int32), worth.astype(np.float32)),
        (LOOKED_UP, table, rng.random(12)),
    ]
    ours, theirs = compiled.filled(rows, programs), numpy_kernels.filled(rows, programs)
    assert ours.shape == theirs.shape == (len(programs), n)
    assert ours.tobytes() == theirs.tobytes()
    assert not ours[:, rows < 0].any()
    for program, together in zip(programs, ours, strict=True):
        assert compiled.filled(rows, [program])[0].tobytes() == together.tobytes()


@given(st.lists(st.one_of(st.floats(0, 1e6, width=32), odd, st.just(-1.0)), max_size=40), numbers)
def test_prices(compiled: ModuleType, prices: list[float], usual: float) -> None:
    column, rows = np.array(prices, np.float32), np.arange(len(prices))[::-1].copy()
    programs: list[Program] = [(PRICE, column, usual)]
    with np.errstate(invalid="ignore"):
        expected = numpy_kernels.filled(rows, programs)
    same(compiled.filled(rows, programs), expected, close=1e-12)


@given(st.lists(st.floats(0, 2), max_size=60))
def test_even_worth(compiled: ModuleType, found: list[float]) -> None:
    first, steps = np.array(found), np.linspace(1, 0, len(found) + 1)
    asked = first, np.sort(first), steps, 0.05
    same(compiled.even_worth(*asked), numpy_kernels.even_worth(*asked))


columns = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.sampled_from([1, 2, 50])),
    elements=st.floats(allow_nan=False, allow_infinity=False),
)


@given(columns, seeds)
@settings(max_examples=200, deadline=None)
def test_sums_of_columns_to_the_bit(compiled: ModuleType, many: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    added = [
        (values, int(rng.integers(0, 3)), float(rng.random() + 0.01), float(rng.normal()))
        for values in many
    ]
    with np.errstate(over="ignore"):
        expected = numpy_kernels.added_up(added, 1e100, many.shape[1])
    assert compiled.added_up(added, 1e100, many.shape[1]).tobytes() == expected.tobytes()


def test_no_columns_and_no_candidates_add_up_to_zeros(compiled: ModuleType) -> None:
    for added_up in (compiled.added_up, numpy_kernels.added_up):
        assert added_up([], 1e100, 3).tolist() == [0, 0, 0]
        assert not np.signbit(added_up([], 1e100, 3)).any()
        assert added_up([], 1e100, 0).tolist() == []


@given(st.lists(st.one_of(st.floats(), odd), max_size=70))
def test_finite(compiled: ModuleType, values: list[float]) -> None:
    column = np.array(values, np.float64)
    assert compiled.is_finite(column) is numpy_kernels.is_finite(column)


def lookup_of(ids: list[str], buckets: int) -> IdLookup:
    encoded = [item_id.encode() for item_id in ids]
    at = np.cumsum([0, *map(len, encoded)])
    stored = np.frombuffer(b"".join(encoded), np.uint8)
    bucket = numpy_kernels.bucket_of(numpy_kernels.hashed(stored, at), buckets)
    starts = np.cumsum([0, *np.bincount(bucket, minlength=buckets)])
    order = np.argsort(bucket, kind="stable")
    return IdLookup(starts.astype(np.uint32), order.astype(np.uint32), at, stored)


characters = st.characters(exclude_categories=["Cs"])
some_ids = st.lists(
    st.one_of(st.text(characters, max_size=5), st.text("ab", max_size=40)), max_size=30, unique=True
)


@given(some_ids, some_ids, st.sampled_from([2, 4, 64]))
@settings(max_examples=200, deadline=None)
def test_ids(compiled: ModuleType, ids: list[str], others: list[str], buckets: int) -> None:
    assert compiled.may_be(ids, 3) == numpy_kernels.may_be(ids, 3)
    lookup, asked = lookup_of(ids, buckets), [*others, *ids, "\ud800"]
    rows = {item_id: row for row, item_id in enumerate(ids)}
    expected = [rows.get(item_id, -1) for item_id in asked]
    assert compiled.rows_of(asked, lookup).tolist() == expected
    assert numpy_kernels.rows_of(asked, lookup).tolist() == expected


def test_a_damaged_lookup_of_ids_is_an_error_or_knows_nobody(compiled: ModuleType) -> None:
    ids = [f"item-{number}" for number in range(64)]
    sound = lookup_of(ids, 64)
    far = np.uint32(2**32 - 1)
    for damaged in (
        sound._replace(buckets=np.full(65, far)),
        sound._replace(rows=np.full(64, far)),
        sound._replace(at=np.full(65, 10**12)),
        sound._replace(at=np.full(65, -1)),
    ):
        assert compiled.rows_of(ids, damaged).tolist() == [-1] * 64
    for damaged in (sound._replace(buckets=sound.buckets[:-1]), sound._replace(at=sound.at[:-1])):
        with pytest.raises(ValueError):
            compiled.rows_of(ids, damaged)


def test_five_thousand_candidates(compiled: ModuleType) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((5000, 384)).astype(np.float32)
    towards = rng.standard_normal((20, 384)).astype(np.float32)
    expected = vectors.astype(np.float64) @ towards.T.astype(np.float64)
    np.testing.assert_allclose(compiled.dots(vectors, towards), expected, rtol=0, atol=1e-3)
    middle, lengths = np.zeros(20, np.float32), np.ones(5000, np.float32)
    nearest = compiled.filled(
        np.arange(5000), [(NEAREST, vectors, towards, middle, np.arange(20), lengths)]
    )
    np.testing.assert_allclose(nearest[0], expected.max(axis=1), rtol=0, atol=1e-3)
    first = rng.random(5000)
    added = [(first, way, 0.5, 1.5) for way in range(3)]
    ours, theirs = compiled.added_up(added, 1e100, 5000), numpy_kernels.added_up(added, 1e100, 5000)
    assert ours.tobytes() == theirs.tobytes()


def near_of(
    vectors: npt.NDArray[Any], towards: npt.NDArray[Any], places: npt.NDArray[Any], lengths: int
) -> Program:
    arrays = (vectors, towards, np.zeros(len(towards)))
    return NEAREST, *(a.astype(np.float32) for a in arrays), places, np.ones(lengths, np.float32)


def test_as_many_programs_as_are_taken_with_as_many_arrays_as_one_has(compiled: ModuleType) -> None:
    vectors = np.arange(6.0).reshape(2, 3)
    programs = [near_of(vectors, vectors, np.array([1]), 2)] * 32
    nearest = compiled.filled(np.array([0, 1]), programs)
    assert nearest.tolist() == [[14.0, 50.0]] * 32


Wrong = tuple[str, Callable[[ModuleType], Any], type[Exception] | tuple[type[Exception], ...]]
wrong: list[Wrong] = [
    ("a row outside", lambda c: c.decoded(np.zeros(8, np.uint8), np.array([2]), 2), IndexError),
    ("a row below", lambda c: c.decoded(np.zeros(8, np.uint8), np.array([-1]), 2), IndexError),
    (
        "a row of counts outside",
        lambda c: c.filled(
            np.array([1]),
            [(COUNTED, np.zeros(1, np.uint32), np.array([0, 1]), np.zeros(0, np.uint32))],
        ),
        IndexError,
    ),
    (
        "a run that ends outside",
        lambda c: c.filled(
            np.array([0]),
            [(COUNTED, np.zeros(1, np.uint32), np.array([0, 9]), np.zeros(0, np.uint32))],
        ),
        IndexError,
    ),
    ("a row below -1", lambda c: c.filled(np.array([-2]), [(TAKEN, np.zeros(1))]), IndexError),
    (
        "another type",
        lambda c: c.filled(
            np.array([0]), [(SHARE, np.zeros(1), np.zeros(0, np.uint64), np.zeros(0))]
        ),
        TypeError,
    ),
    ("an unknown program", lambda c: c.filled(np.array([0]), [(99, np.zeros(1))]), ValueError),
    ("no program", lambda c: c.filled(np.array([0]), [()]), ValueError),
    (
        "more programs than there is room for",
        lambda c: c.filled(np.array([0]), [(TAKEN, np.zeros(1))] * 33),
        ValueError,
    ),
    (
        "fewer lengths than vectors",
        lambda c: c.filled(
            np.array([0, 0]),
            [near_of(np.zeros((2, 3)), np.zeros((2, 3)), np.array([0]), 1)],
        ),
        ValueError,
    ),
    (
        "a direction outside",
        lambda c: c.filled(
            np.array([0, 0]),
            [near_of(np.zeros((2, 3)), np.zeros((2, 3)), np.array([2]), 2)],
        ),
        IndexError,
    ),
    (
        "vectors of other dimensions",
        lambda c: c.dots(np.zeros((2, 3), np.float32), np.zeros((1, 4), np.float32)),
        ValueError,
    ),
    (
        "every other row",
        lambda c: c.dots(np.zeros((4, 3), np.float32)[::2], np.zeros((1, 3), np.float32)),
        (ValueError, BufferError),
    ),
    ("no list", lambda c: c.rows_of(("a",), lookup_of(["a"], 2)), ValueError),
    ("columns that differ", lambda c: c.added_up([(np.zeros(2), 0, 1.0, 1.0)], 1.0, 3), ValueError),
]


@pytest.mark.parametrize(("ask", "error"), [pytest.param(*rest, id=name) for name, *rest in wrong])
def test_what_does_not_fit_is_an_error_and_no_read_outside(
    compiled: ModuleType, ask: Callable[[ModuleType], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        ask(compiled)
