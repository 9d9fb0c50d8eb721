"""intervals.py: paired differences, query by query -> their mean, 95 % interval and p-value.

Several metrics are compared at once: differences are (queries, metrics), results (metrics,).
`clusters` names the shopper behind each query. One shopper's queries are not independent, so whole
shoppers are drawn and flipped; without clusters every query stands for itself.
"""

from collections.abc import Hashable, Iterator, Sequence

import msgspec
import numpy as np

from indexes.storage.arrays import Floats

RESAMPLES = 10_000
SEED = 20_261_123
LEVEL = 0.95

_BLOCK = (
    1 << 18
)  # draws held in memory at a time: some 8 MB, which fits a cache; any number of queries


class Difference(msgspec.Struct, frozen=True):
    """How far two rankings are apart in one metric. Fewer than two queries give no interval."""

    mean: float
    low: float | None
    high: float | None
    p: float | None


def paired_differences(
    differences: Floats,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> list[Difference]:
    """One Difference per column of `differences`; the same input gives the same answer.

    level: how sure the interval is; of one among m comparisons 1 - 0.05 / m (Bonferroni).
    """
    means = differences.mean(axis=0).tolist()
    units = len(differences) if clusters is None else len(set(clusters))
    if units < 2:
        return [Difference(mean, None, None, None) for mean in means]
    low, high = bootstrap_interval(differences, clusters, resamples, seed, level)
    p = randomisation_p(differences, clusters, resamples, seed)
    columns = zip(means, low.tolist(), high.tolist(), p.tolist(), strict=True)
    return [Difference(*column) for column in columns]


def over_folds(difference: Difference, folds: int) -> Difference:
    """A difference over k folds of one set, each judged by what was fitted on the others.

    The fits share most of their data, so that the folds err together: the variance of their mean
    is (1 / k + 1 / (k - 1)) s^2 instead of s^2 / k (corrected resampled t, Nadeau and Bengio 2003),
    and the interval is wider by sqrt(1 + k / (k - 1)), 1.5 for five folds. p: of a normal that is
    as much wider. One fold, a held-out part, stays as it is.
    """
    low, high, p = difference.low, difference.high, difference.p
    if folds < 2 or low is None or high is None:
        return difference
    from scipy.special import ndtr, ndtri

    wider = (1.0 + folds / (folds - 1)) ** 0.5
    mean = difference.mean

    return Difference(
        mean,
        mean - wider * (mean - low),
        mean + wider * (high - mean),
        None if p is None else float(2.0 * ndtr(ndtri(p / 2.0) / wider)),
    )


def bootstrap_interval(
    differences: Floats,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> tuple[Floats, Floats]:
    """Low and high end of the mean difference, by the paired bootstrap.

    The percentiles are widened for small samples ("expanded percentile interval", Hesterberg
    2015): plain percentiles use n for n - 1 and a normal for a t, and cover 93 % at 20 queries.
    """
    sums, sizes = _per_cluster(differences, clusters)
    columns = np.column_stack([sums, sizes])
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, sums.shape[1]))
    for start, stop in _blocks(resamples, len(sums)):
        drawn = _times_drawn(rng, stop - start, len(sums)) @ columns
        means[start:stop] = drawn[:, :-1] / drawn[:, -1:]
    tail = _expanded_tail(len(sums), level)
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return low, high


def randomisation_p(
    differences: Floats,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Floats:
    """Two-sided p-value: how often a fair coin per cluster, swapping the two sides, goes as far.

    Every pattern of swaps is tried when there are no more of them than resamples.
    """
    sums, _ = _per_cluster(differences, clusters)
    count = len(sums)
    total = sums.sum(axis=0)
    # Sums that differ only by rounding are equally far.
    far = np.abs(total) - 1e-12 * np.abs(sums).sum(axis=0)
    exact = count < 60 and 2**count <= resamples
    rng = np.random.default_rng(seed + 1)
    as_far = np.zeros(sums.shape[1])
    for start, stop in _blocks(2**count if exact else resamples, count):
        swapped = _patterns(start, stop, count) if exact else _coins(rng, stop - start, count)
        as_far += np.count_nonzero(np.abs(total - 2.0 * (swapped @ sums)) >= far, axis=0)
    return as_far / 2**count if exact else (as_far + 1) / (resamples + 1)


def _per_cluster(differences: Floats, clusters: Sequence[Hashable] | None) -> tuple[Floats, Floats]:
    """Sum of the differences (clusters, metrics) and number of queries (clusters,) of each."""
    if clusters is None:
        return differences, np.ones(len(differences))
    numbers: dict[Hashable, int] = {}
    rows = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    sums = np.zeros((len(numbers), differences.shape[1]))
    np.add.at(sums, rows, differences)
    return sums, np.bincount(rows).astype(np.float64)


def _expanded_tail(count: int, level: float) -> float:
    """The percentile whose normal quantile is as far out as the t interval of this many."""
    from scipy.special import ndtr, stdtrit  # half of the start of a command that needs no scipy

    t = stdtrit(count - 1, (1.0 + level) / 2.0)
    return float(ndtr(-t * (count / (count - 1)) ** 0.5))


def _blocks(rows: int, width: int) -> Iterator[tuple[int, int]]:
    """Row ranges that cover `rows`, each of at most _BLOCK cells (and at least one row)."""
    step = max(1, _BLOCK // width)
    for start in range(0, rows, step):
        yield start, min(rows, start + step)


def _times_drawn(rng: np.random.Generator, rows: int, count: int) -> Floats:
    """How often each of `count` is drawn in `count` draws with replacement, once per row."""
    drawn = rng.integers(0, count, size=(rows, count), dtype=np.int64)
    drawn += np.arange(rows)[:, None] * count
    times = np.bincount(drawn.ravel(), minlength=rows * count)
    return times.reshape(rows, count).astype(np.float64)


def _coins(rng: np.random.Generator, rows: int, count: int) -> Floats:
    """Zeros and ones (rows, count), equally likely."""
    bits = np.frombuffer(rng.bytes(-(-rows * count // 8)), dtype=np.uint8)
    return np.unpackbits(bits, count=rows * count).reshape(rows, count).astype(np.float64)


def _patterns(start: int, stop: int, count: int) -> Floats:
    """The binary digits (stop - start, count) of the numbers from start to stop."""
    return ((np.arange(start, stop)[:, None] >> np.arange(count)) & 1).astype(np.float64)
