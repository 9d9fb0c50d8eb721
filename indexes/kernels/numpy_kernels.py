"""numpy_kernels.py: the loops of a ranking in numpy: what the compiled ones are held against.

And what serves where there is no compiler. Shapes stand with each; n candidates, d dimensions.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

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
# What a column is read by: the functions of these names, with rows before what stands in a program.
TAKEN, SAME, COUNTED, WHOLE, SHARE, MEAN_SHARE, PRICE, AMOUNT, LOOKED_UP, DOT, NEAREST = range(11)
Program = tuple[Any, ...]  # one of these, and what else the function takes
_FEW: Final = 12
_AT_ONCE: Final = 16_384  # ids
_FIRST_PRIME: Final = np.uint64(0x9E3779B97F4A7C15)
_SECOND_PRIME: Final = np.uint64(0xD6E8FEB86659FD93)


def decoded(
    codes: npt.NDArray[np.uint8], rows: Rows, dimensions: int, room: Vectors | None = None
) -> Vectors:
    """Vectors (n, d) of rows of bfloat16 codes (items x d x 2 bytes): the upper half of float32.

    room: numbers that may be written over, where there are n x d of them or more.
    """
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


def likeness(vectors: Vectors, worth: npt.NDArray[np.float32]) -> Values:
    """The cosine (n,) of each vector (n, d) with the mean of all, each counting its worth (n,).

    Zeros where that mean has no length.
    """
    mean = worth @ vectors
    length = np.sqrt(mean @ mean)
    cosines = np.vecdot(vectors, mean / length if length else mean * 0)
    return np.asarray(cosines, np.float64)


def filled(rows: Rows, programs: list[Program]) -> Values:
    """What is read of the items of rows (n,), -1 for none: one column for each program (k, n).

    A program is a kind of column and the arrays that it takes. Of no item each column says 0, but
    for those of vectors (n, d), which a candidate may have brought itself.
    """
    out = np.zeros((len(programs), len(rows)))
    there = rows >= 0
    for column, (kind, *given) in zip(out, programs, strict=True):
        if kind in (DOT, NEAREST):
            column[:] = _KINDS[kind](*given)
        else:
            column[there] = _KINDS[kind](rows[there], *given)
    return out


def taken(rows: Rows, table: Numbers) -> Numbers:
    """Each row's number in the table."""
    return table[rows]


def looked_up(rows: Rows, table: Numbers, amounts: Values) -> Values:
    """The amount (k,) of each row's number in the table; 0 for a number below 0."""
    numbers = table[rows]
    return np.append(amounts, 0.0)[np.where(numbers < 0, len(amounts), numbers)]


def same(rows: Rows, table: Numbers, key: int) -> npt.NDArray[np.bool_]:
    """Whether each row's key in the table is this one."""
    return np.asarray(table[rows] == np.uint64(key))


def dot(vectors: Vectors, towards: Vectors) -> Vectors:
    """Inner product (n,) of vectors (n, d) with towards (d,)."""
    return dots(vectors, towards[None])[:, 0]


def nearest(
    vectors: Vectors, table: Vectors, middles: Vectors, places: Ints, lengths: Vectors
) -> Vectors:
    """The largest of (vectors (n, d) . table[places] (k, d) - middles[places]) / lengths (n,). (n,)

    lengths: above 0; table: of m directions, middles (m,).
    """
    away = dots(vectors, table[places]) - middles[places]
    return np.asarray(np.maximum.reduce(away, axis=1) / lengths)


def counted(rows: Rows, values: Numbers, at: Ints, wanted: Numbers) -> Ints:
    """How many of each row's numbers are wanted (sorted). Row r has values[at[r]:at[r + 1]]."""
    return _counted(rows, values, at, wanted)[0]


def whole(rows: Rows, values: Numbers, at: Ints, wanted: Numbers) -> npt.NDArray[np.bool_]:
    """Whether each row has numbers, and all of them are wanted (sorted)."""
    matched, lengths = _counted(rows, values, at, wanted)
    return np.asarray((lengths > 0) & (matched == lengths))


def _counted(rows: Rows, values: Numbers, at: Ints, wanted: Numbers) -> tuple[Ints, Ints]:
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


def share(rows: Rows, table: Numbers, keys: Numbers, worth: Values) -> Values:
    """The worth (k,) of each row's key in the table, where it is among keys (k,); else 0.

    keys: sorted.
    """
    return _worth_of(table[rows], keys, worth)


def _worth_of(wanted: Numbers, keys: Numbers, worth: Values) -> Values:
    if not len(keys):
        return np.zeros(len(wanted))
    at = np.minimum(keys.searchsorted(wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, worth[at], 0.0)


def mean_share(rows: Rows, values: Numbers, at: Ints, keys: Numbers, worth: Values) -> Values:
    """The mean over each row's numbers of their worth (k,), as in `share`; 0 without any."""
    gathered, _, lengths = runs(values, at, rows)
    if not len(gathered):
        return np.zeros(len(rows))
    owner = np.repeat(np.arange(len(rows)), lengths)
    total = np.bincount(owner, _worth_of(gathered, keys, worth), minlength=len(rows))
    return np.asarray(total / np.maximum(lengths, 1))


def price_nearness(rows: Rows, prices: npt.NDArray[np.float32], usual: float) -> Values:
    """exp(-|log price - usual|) of each row; 0 where there is no price."""
    price = prices[rows].astype(np.float64)
    known = price > 0
    away = np.abs(np.log(np.where(known, price, 1.0)) - usual)
    return np.where(known, np.exp(-away), 0.0)


def is_finite(values: Values) -> bool:
    """Whether every number is finite."""
    return bool(np.logical_and.reduce(np.isfinite(values)))


def even_worth(
    first: Values, ordered: Values, steps: Values, even: float
) -> npt.NDArray[np.float32]:
    """Of a step function of the score, its mean over the scores within `even` of each one (n,).

    first: the scores; ordered: the same, sorted; steps (n + 1,): what the function is below the
    first, between one and the next, and above the last. Its integral is linear in between.
    """
    scores = np.concatenate([ordered[:1] - even, ordered, ordered[-1:] + even])
    integral = np.zeros(len(scores))
    np.cumsum(np.diff(scores) * steps[: len(scores) - 1], out=integral[1:])
    if not len(first):
        return np.zeros(0, np.float32)
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


class IdLookup(NamedTuple):
    """Where ids stand: those of bucket b in rows[buckets[b]:buckets[b + 1]], the id of row r in
    encoded[at[r]:at[r + 1]]. There are as many buckets as a power of 2, from 2 on."""

    buckets: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.uint32]
    at: Ints
    encoded: npt.NDArray[np.uint8]


def rows_of(ids: list[str], lookup: IdLookup) -> Rows:
    """The row of each id (n,); -1 for one that is no item's."""
    buckets, rows, at, stored = lookup
    encoded = [item_id.encode("utf-8", "surrogatepass") for item_id in ids]
    ends = np.cumsum([0, *map(len, encoded)])
    hashes = hashed(np.frombuffer(b"".join(encoded), np.uint8), ends)
    bucket = bucket_of(hashes, len(buckets) - 1)
    out = np.full(len(ids), -1, np.int64)
    places = zip(encoded, buckets[bucket].tolist(), buckets[bucket + 1].tolist(), strict=True)
    for number, (wanted, start, end) in enumerate(places):
        for row in rows[start:end].tolist():
            if stored[at[row] : at[row + 1]].tobytes() == wanted:
                out[number] = row
    return out


def bucket_of(hashes: npt.NDArray[np.uint64], buckets: int) -> Ints:
    """Which of so many buckets each hash (n,) falls in."""
    return (hashes >> np.uint64(65 - int(buckets).bit_length())).astype(np.int64)


def hashed(encoded: npt.NDArray[np.uint8], at: Ints) -> npt.NDArray[np.uint64]:
    """64 bits of each run of bytes encoded[at[i]:at[i + 1]] (n,), eight bytes at a time.

    Multiply and shift, as in Steele, Lea and Flood's SplitMix (2014).
    """
    out = np.empty(len(at) - 1, np.uint64)
    for start in range(0, len(out), _AT_ONCE):
        ends = at[start : start + _AT_ONCE + 1]
        lengths = np.diff(ends)
        places = np.arange(-(-int(lengths.max()) // 8) * 8)
        padded = np.zeros((len(lengths), len(places)), np.uint8)
        padded[places < lengths[:, None]] = encoded[ends[0] : ends[-1]]
        hashes = lengths.astype(np.uint64) * _FIRST_PRIME
        for number, words in enumerate(padded.view("<u8").T):
            more = lengths > 8 * number
            mixed = (hashes[more] ^ words[more]) * _SECOND_PRIME
            hashes[more] = mixed ^ (mixed >> np.uint64(32))
        out[start : start + _AT_ONCE] = hashes * _FIRST_PRIME
    return out


def may_be(ids: list[str], size: int) -> list[int]:
    """Places of the ids that have so many characters, or others than plain letters among them."""
    return [
        place for place, item_id in enumerate(ids) if len(item_id) == size or not item_id.isascii()
    ]


_KINDS: Final[Mapping[int, Callable[..., Any]]] = {
    TAKEN: taken,
    SAME: same,
    COUNTED: counted,
    WHOLE: whole,
    SHARE: share,
    MEAN_SHARE: mean_share,
    PRICE: price_nearness,
    AMOUNT: share,
    LOOKED_UP: looked_up,
    DOT: dot,
    NEAREST: nearest,
}
