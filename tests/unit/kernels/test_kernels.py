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
    with np.errstate(invalid="ignore", over="ignore"):
        same(compiled.dots(vectors, towards), numpy_kernels.dots(vectors, towards))
        worth = np.linspace(0, 1, n, dtype=np.float32)
        same(compiled.weighed_sum(vectors, worth), numpy_kernels.weighed_sum(vectors, worth))
        if len(towards):
            middle = np.linspace(-0.1, 0.1, len(towards), dtype=np.float32)
            lengths = np.linspace(0.5, 2, n, dtype=np.float32)
            asked = vectors, towards, middle, lengths
            for ours, theirs in zip(
                compiled.nearnesses(*asked), numpy_kernels.nearnesses(*asked), strict=True
            ):
                same(ours, theirs)


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


@given(seeds, sizes)
@settings(max_examples=100, deadline=None)
def test_words_keys_and_counts_to_the_bit(compiled: ModuleType, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    values, at = ragged(rng, 9)
    rows = rng.integers(0, 9, n)
    keys = np.unique(rng.integers(0, 12, rng.integers(0, 16)))
    worth = rng.random(len(keys))
    table = rng.integers(-2, 12, 10)
    for name, asked in (
        ("counted", (values, at, rows, keys.astype(np.uint32))),
        ("mean_shares", (values, at, rows, keys.astype(np.uint32), worth)),
        ("shares", (table.astype(np.uint64), rows, keys.astype(np.uint64), worth)),
        ("amounts", (table, rows - rng.integers(0, 2), keys.astype(np.int32), worth)),
    ):
        ours, theirs = getattr(compiled, name)(*asked), getattr(numpy_kernels, name)(*asked)
        same(np.atleast_2d(ours), np.atleast_2d(theirs), close=0)


@given(st.lists(st.one_of(st.floats(0, 1e6, width=32), odd, st.just(-1.0)), max_size=40), numbers)
def test_prices(compiled: ModuleType, prices: list[float], usual: float) -> None:
    column, rows = np.array(prices, np.float32), np.arange(len(prices))[::-1].copy()
    with np.errstate(invalid="ignore"):
        expected = numpy_kernels.price_nearness(column, rows, usual)
    same(compiled.price_nearness(column, rows, usual), expected, close=1e-12)


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_even_worth(compiled: ModuleType, found: list[float]) -> None:
    first = np.array(found)
    scores = np.concatenate([[first.min() - 0.05], np.sort(first), [first.max() + 0.05]])
    integral = np.cumsum(np.linspace(0, 1, len(scores)))
    expected = numpy_kernels.even_worth(first, scores, integral, 0.05)
    same(compiled.even_worth(first, scores, integral, 0.05), expected)


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


@given(st.lists(st.text(max_size=5), max_size=30, unique=True), st.integers(0, 5), seeds)
def test_ids(compiled: ModuleType, ids: list[str], size: int, seed: int) -> None:
    assert compiled.may_be(ids, size) == numpy_kernels.may_be(ids, size)
    rng = np.random.default_rng(seed)
    met = {item_id: int(rng.integers(0, 99)) for item_id in ids if rng.random() < 0.7}
    ours, theirs = compiled.rows_met(met, ids, -2), numpy_kernels.rows_met(met, ids, -2)
    assert ours[0].tolist() == theirs[0].tolist()
    assert ours[1] == theirs[1] == len(ids) - len(met)


def test_five_thousand_candidates(compiled: ModuleType) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((5000, 384)).astype(np.float32)
    towards = rng.standard_normal((20, 384)).astype(np.float32)
    expected = vectors.astype(np.float64) @ towards.T.astype(np.float64)
    np.testing.assert_allclose(compiled.dots(vectors, towards), expected, rtol=0, atol=1e-3)
    first = rng.random(5000)
    added = [(first, way, 0.5, 1.5) for way in range(3)]
    ours, theirs = compiled.added_up(added, 1e100, 5000), numpy_kernels.added_up(added, 1e100, 5000)
    assert ours.tobytes() == theirs.tobytes()


Wrong = tuple[str, Callable[[ModuleType], Any], type[Exception] | tuple[type[Exception], ...]]
wrong: list[Wrong] = [
    ("a row outside", lambda c: c.decoded(np.zeros(8, np.uint8), np.array([2]), 2), IndexError),
    ("a row below", lambda c: c.decoded(np.zeros(8, np.uint8), np.array([-1]), 2), IndexError),
    (
        "a row of counts outside",
        lambda c: c.counted(
            np.zeros(1, np.uint32), np.array([0, 1]), np.array([1]), np.zeros(0, np.uint32)
        ),
        IndexError,
    ),
    (
        "a run that ends outside",
        lambda c: c.counted(
            np.zeros(1, np.uint32), np.array([0, 9]), np.array([0]), np.zeros(0, np.uint32)
        ),
        IndexError,
    ),
    (
        "another type",
        lambda c: c.shares(np.zeros(1), np.array([0]), np.zeros(0, np.uint64), np.zeros(0)),
        TypeError,
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
    ("no list", lambda c: c.rows_met({}, ("a",), -2), ValueError),
    ("columns that differ", lambda c: c.added_up([(np.zeros(2), 0, 1.0, 1.0)], 1.0, 3), ValueError),
]


@pytest.mark.parametrize(("ask", "error"), [pytest.param(*rest, id=name) for name, *rest in wrong])
def test_what_does_not_fit_is_an_error_and_no_read_outside(
    compiled: ModuleType, ask: Callable[[ModuleType], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        ask(compiled)
