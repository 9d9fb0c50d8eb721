"""numpy_kernels.py: the loops of a ranking in numpy: what the compiled ones are held against.

And what serves where there is no compiler. Shapes stand with each; n candidates, d dimensions.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Rows = Ints  # of a table; n of them
# How a column is made comparable before it is added up: reranker/signals/columns.py.
AS_IT_IS: Final = 0
STRETCHED: Final = 1
SCALED: Final = 2
Weighed = tuple[Values, int, float, float]  # a column (n,), which of these ways, its unit, a weight
_FEW: Final = 12


def decoded(codes: npt.NDArray[np.uint8], rows: Rows, dimensions: int) -> Vectors:
    """Vectors (n, d) of rows of bfloat16 codes (items x d x 2 bytes): the upper half of float32."""
    upper = codes.view(np.uint16).reshape(-1, dimensions)  # `take` would copy all: not aligned
    whole = upper[rows].astype(np.uint32)
    whole <<= np.uint32(16)
    return whole.view(np.float32)


def dots(vectors: Vectors, towards: Vectors) -> Vectors:
    """Inner products (n, k) of vectors (n, d) with each of towards (k, d).

    Each row by itself: the rounding of a plain product depends on how many rows there are and which
    of them a row is.
    """
    if len(towards) == 1:
        return np.asarray(np.vecdot(vectors, towards[0])[:, None])
    return np.asarray(np.matmul(vectors[:, None, :], towards.T)[:, 0])


def weighed_sum(vectors: Vectors, worth: npt.NDArray[np.float32]) -> Vectors:
    """The sum (d,) of vectors (n, d), each times its worth (n,)."""
    return np.asarray(worth @ vectors)


def nearnesses(
    vectors: Vectors, towards: Vectors, middle: Vectors, lengths: Vectors
) -> tuple[Vectors, Values]:
    """(vectors (n, d) . towards (k, d) - middle (k,)) / lengths (n,), and the largest of each row.

    (n, k) and (n,); k is at least 1.
    """
    cosines = (dots(vectors, towards) - middle) / lengths[:, None]
    return cosines, np.maximum.reduce(cosines, axis=1).astype(np.float64)


def counted(values: Numbers, at: Ints, rows: Rows, wanted: Numbers) -> tuple[Ints, Ints]:
    """How many of each row's numbers are wanted (sorted), and how many it has; each (n,).

    Row r has values[at[r]:at[r + 1]].
    """
    gathered, ends, lengths = runs(values, at, rows)
    upto = np.zeros(len(gathered) + 1, dtype=np.int64)
    np.add.accumulate(_among(gathered, wanted), dtype=np.int64, out=upto[1:])
    return upto[ends] - upto[ends - lengths], lengths


def runs(values: Numbers, at: Ints, rows: Rows) -> tuple[Numbers, Ints, Ints]:
    """All numbers of these rows (m,), where each row's end among them (n,), how many it has."""
    starts = at[rows]
    lengths = at[rows + 1] - starts
    ends = np.add.accumulate(lengths)
    places = np.arange(int(ends[-1]) if len(ends) else 0)
    places += np.repeat(starts - ends + lengths, lengths)
    return values[places], ends, lengths


def _among(values: Numbers, wanted: Numbers) -> npt.NDArray[np.bool_]:
    """Which values are among the wanted ones, which are sorted; few are compared one by one."""
    if len(wanted) > _FEW:
        place = np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)
        return np.asarray(wanted[place] == values)
    among = np.zeros(len(values), dtype=bool)
    for value in wanted:
        among |= values == value
    return among


def shares(table: Numbers, rows: Rows, keys: Numbers, worth: Values) -> Values:
    """The worth (k,) of each row's key in the table, where it is among keys (k,), sorted; else 0.

    (n,).
    """
    return _worth_of(table[rows], keys, worth)


def _worth_of(wanted: Numbers, keys: Numbers, worth: Values) -> Values:
    if not len(keys):
        return np.zeros(len(wanted))
    at = np.minimum(keys.searchsorted(wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, worth[at], 0.0)


def mean_shares(values: Numbers, at: Ints, rows: Rows, keys: Numbers, worth: Values) -> Values:
    """The mean over each row's numbers of their worth (k,), as in `shares`; 0 without any. (n,)"""
    gathered, _, lengths = runs(values, at, rows)
    if not len(gathered):
        return np.zeros(len(rows))
    owner = np.repeat(np.arange(len(rows)), lengths)
    total = np.bincount(owner, _worth_of(gathered, keys, worth), minlength=len(rows))
    return np.asarray(total / np.maximum(lengths, 1))


def price_nearness(prices: npt.NDArray[np.float32], rows: Rows, usual: float) -> Values:
    """exp(-|log price - usual|) of each row (n,); 0 where there is no price."""
    price = prices[rows].astype(np.float64)
    known = price > 0
    away = np.abs(np.log(np.where(known, price, 1.0)) - usual)
    return np.where(known, np.exp(-away), 0.0)


def amounts(table: Ints, rows: Rows, numbers: npt.NDArray[np.int32], worth: Values) -> Values:
    """The worth (k,) of each row's number in the table, where it is among numbers (k,), sorted.

    (n,); else 0. Row -1 is the table's last.
    """
    return _worth_of(table[rows], numbers, worth)


def is_finite(values: Values) -> bool:
    """Whether every number is finite."""
    return bool(np.logical_and.reduce(np.isfinite(values)))


def even_worth(
    first: Values, scores: Values, integral: Values, even: float
) -> npt.NDArray[np.float32]:
    """The mean over the scores within `even` of each of first (n,), of a function whose integral
    is known at sorted scores (m,) and linear in between. (n,)"""
    upper, lower = np.interp([first + even, first - even], scores, integral)
    return np.asarray((upper - lower) / (2 * even), np.float32)


def added_up(columns: list[Weighed], most: float, n: int) -> Values:
    """The sum (n,) of columns that know every candidate, each made comparable, times its weight.

    most: what no value of a column may exceed, either way, so that no sum is infinite.
    """
    total = np.full(n, -0.0)
    for values, way, unit, weight in columns:
        total += comparable(values, way, unit, most) * weight
    return total + 0.0  # no sum is -0.0


def comparable(values: Values, way: int, unit: float, most: float) -> Values:
    """One column (n,), n at least 1: lowest 0 and highest 1; or lowest 0 and one unit above it 1;
    or as it is."""
    if way == STRETCHED:  # halved first, so that no spread overflows
        halves = values * 0.5
        low = np.minimum.reduce(halves)
        spread = np.maximum.reduce(halves) - low
        return np.asarray((halves - low) / (spread if spread > 0 else 1.0))
    if way == SCALED:
        return np.asarray(np.clip((values - np.minimum.reduce(values)) / unit, 0.0, most))
    return np.clip(values, -most, most)


def rows_met(met: dict[str, int], ids: list[str], absent: int) -> tuple[Rows, int]:
    """The row of each id (n,), `absent` for those that are not in `met`; how many these are."""
    rows = np.fromiter([met.get(item_id, absent) for item_id in ids], np.int64, len(ids))
    return rows, int((rows == absent).sum()) if len(ids) and rows.min() == absent else 0


def may_be(ids: list[str], size: int) -> list[int]:
    """Places of the ids that have so many characters, or others than plain letters among them."""
    return [
        place for place, item_id in enumerate(ids) if len(item_id) == size or not item_id.isascii()
    ]
