"""compiled_kernels.py: the functions of numpy_kernels.py in C; ImportError where not built."""

import numpy as np
import numpy.typing as npt

from indexes.kernels import _compiled
from indexes.kernels._compiled import is_finite, may_be
from indexes.kernels.numpy_kernels import Ints, Numbers, Rows, Values, Vectors, Weighed

__all__ = ["is_finite", "may_be"]


def decoded(codes: npt.NDArray[np.uint8], rows: Rows, dimensions: int) -> Vectors:
    """See numpy_kernels."""
    out = np.empty((len(rows), dimensions), np.float32)
    _compiled.decoded(codes, rows, out)
    return out


def dots(vectors: Vectors, towards: Vectors) -> Vectors:
    """See numpy_kernels."""
    out = np.empty((len(vectors), len(towards)), np.float32)
    _compiled.dots(vectors.shape[1], vectors, towards, out)
    return out


def weighed_sum(vectors: Vectors, worth: npt.NDArray[np.float32]) -> Vectors:
    """See numpy_kernels."""
    out = np.empty(vectors.shape[1], np.float32)
    _compiled.weighed_sum(vectors, worth, out)
    return out


def nearnesses(
    vectors: Vectors, towards: Vectors, middle: Vectors, lengths: Vectors
) -> tuple[Vectors, Values]:
    """See numpy_kernels."""
    cosines, nearest = dots(vectors, towards), np.empty(len(vectors))
    _compiled.nearnesses(middle, lengths, cosines, nearest)
    return cosines, nearest


def counted(values: Numbers, at: Ints, rows: Rows, wanted: Numbers) -> tuple[Ints, Ints]:
    """See numpy_kernels."""
    matched, lengths = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    _compiled.counted(values, at, rows, wanted, matched, lengths)
    return matched, lengths


def shares(table: Numbers, rows: Rows, keys: Numbers, worth: Values) -> Values:
    """See numpy_kernels."""
    out = np.empty(len(rows))
    _compiled.shares(table, rows, keys, worth, out)
    return out


def mean_shares(values: Numbers, at: Ints, rows: Rows, keys: Numbers, worth: Values) -> Values:
    """See numpy_kernels."""
    out = np.empty(len(rows))
    _compiled.mean_shares(values, at, rows, keys, worth, out)
    return out


def price_nearness(prices: npt.NDArray[np.float32], rows: Rows, usual: float) -> Values:
    """See numpy_kernels."""
    out = np.empty(len(rows))
    _compiled.price_nearness(prices, rows, usual, out)
    return out


def amounts(table: Ints, rows: Rows, numbers: npt.NDArray[np.int32], worth: Values) -> Values:
    """See numpy_kernels."""
    out = np.empty(len(rows))
    _compiled.amounts(table, rows, numbers, worth, out)
    return out


def even_worth(
    first: Values, scores: Values, integral: Values, even: float
) -> npt.NDArray[np.float32]:
    """See numpy_kernels."""
    out = np.empty(len(first), np.float32)
    _compiled.even_worth(first, scores, integral, even, out)
    return out


def added_up(columns: list[Weighed], most: float, n: int) -> Values:
    """See numpy_kernels."""
    out = np.empty(n)
    _compiled.added_up(columns, most, out)
    return out


def rows_met(met: dict[str, int], ids: list[str], absent: int) -> tuple[Rows, int]:
    """See numpy_kernels."""
    rows = np.empty(len(ids), np.int64)
    return rows, _compiled.rows_met(met, ids, absent, rows)
