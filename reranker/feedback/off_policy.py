"""off_policy.py: clicks on logged rankings -> how many another order would have had: estimates.

Position-based inverse propensity scoring (Joachims et al. 2017). A click at position k says that an
item is wanted; it counts 1 / p(k), because at k it had the chance p(k) to be looked at, and another
order that puts the item at k' would have had it looked at with p(k'). 1 / p(k) is clipped: a few
clicks far down must not decide alone. The same sum over the order that was shown is the yardstick
(a ratio estimator), so that clipping and the scale of p cancel:

    clicks of the other order = clicks observed x sum v p(k') / sum v p(k),  v = min(1 / p(k), clip)

Items that were not shown have no clicks, so an order that brings new items up is estimated too low.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from indexes.storage.arrays import Floats, Ints
from reranker.feedback.click_models import Examination
from reranker.metrics.intervals import LEVEL, SEED

CLIP: Final = 10.0
RESAMPLES: Final = 2000
CURVES: Final = 50  # fitted anew to shoppers drawn again
SHOWN: Final = "shown"
NOTE: Final = (
    "An estimate from logged clicks, not a measurement: it holds as far as the position-based "
    "model does, and counts no click for items that were never shown. A test with shoppers decides."
)


class Interval(msgspec.Struct, frozen=True):
    """A value with its 95 % bootstrap interval over shoppers, the curve's own error included."""

    value: float
    low: float
    high: float


class OrderEstimate(msgspec.Struct, frozen=True):
    """What an order would have got. clicks: per ranking; looked_at: how likely a wanted item is
    looked at; ips: clicks per ranking without that yardstick, weights clipped; effective_clicks:
    so many equally weighted clicks would say as much (Kish); never_shown: share of its pages that
    was not shown, of which nothing is known."""

    clicks: Interval
    looked_at: float
    ips: float
    effective_clicks: float
    never_shown: float


class EstimateReport(msgspec.Struct, frozen=True):
    """Every order's estimate beside what was observed. difference: the first minus compared_with.

    clipped: the share of clicks whose weight was clipped. curves: so many curves of shoppers drawn
    again are in the intervals; 0: the curve was taken as known."""

    action: str
    rankings: int
    clicks: int
    shoppers: int
    observed: Interval
    orders: dict[str, OrderEstimate]
    compared_with: str
    difference: Interval
    clip: float
    clipped: float
    curves: int = 0
    note: str = NOTE


@dataclass
class LoggedClicks:
    """Clicks with the position that each order gives their item; positions count from 0."""

    shoppers: dict[Hashable, int] = field(default_factory=dict)
    rankings: list[int] = field(default_factory=list)  # the shopper of each
    shopper: list[int] = field(default_factory=list)  # of each click
    page: list[int] = field(default_factory=list)  # items shown
    position: list[int] = field(default_factory=list)
    others: dict[str, list[int]] = field(default_factory=dict)
    unknown: dict[str, list[float]] = field(default_factory=dict)  # share of a page never shown

    def add(
        self,
        shopper: Hashable,
        items: Sequence[str],
        clicked: Sequence[str],
        orders: Mapping[str, Sequence[str]],
    ) -> None:
        """One ranking: what was shown, what of it was clicked, and the other orders of the same
        candidates. Orders are needed only where something was clicked."""
        number = self.shoppers.setdefault(shopper, len(self.shoppers))
        self.rankings.append(number)
        if not clicked:
            return
        positions = {item: place for place, item in enumerate(items)}
        for item in clicked:
            self.shopper.append(number)
            self.page.append(len(items))
            self.position.append(positions[item])
        for name, order in orders.items():
            places = {item: place for place, item in enumerate(order)}
            self.others.setdefault(name, []).extend(places[item] for item in clicked)
            new = sum(item not in positions for item in order[: len(items)])
            self.unknown.setdefault(name, []).append(new / len(items))


def estimate(
    logged: LoggedClicks,
    examination: Examination,
    action: str = "click",
    compare: str = SHOWN,
    clip: float = CLIP,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    curves: Sequence[Examination] = (),
    level: float = LEVEL,
    note: str = NOTE,
) -> EstimateReport:
    """The report; needs at least one click. compare: one of the orders, or what was shown.

    curves: fitted to shoppers drawn again (`drawn_curves`): each has its share of the resamples, so
    that the intervals hold what is not known of the curve. Without them it is taken as known.
    level: how sure the intervals are.
    """
    page = np.array(logged.page)
    before, weight, looks = _weighed(logged, examination, clip)
    sums = _Sums(logged, {name: weight * look for name, look in looks.items()})
    drawn = _drawn(logged, [*curves] or [examination], clip, resamples, seed)
    names = [name for name in looks if name != SHOWN]
    rates = {name: sums.rate(name) for name in looks}
    return EstimateReport(
        action=action,
        rankings=len(logged.rankings),
        clicks=len(page),
        shoppers=len(logged.shoppers),
        observed=_interval(sums.rate(SHOWN), drawn[SHOWN], level),
        orders={
            name: OrderEstimate(
                clicks=_interval(rates[name], drawn[name], level),
                looked_at=float((weight * looks[name]).sum() / weight.sum()),
                ips=float(np.minimum(looks[name] / before, clip).sum() / len(logged.rankings)),
                effective_clicks=kish(weight * looks[name]),
                never_shown=float(np.mean(logged.unknown[name])),
            )
            for name in names
        },
        compared_with=compare,
        difference=_interval(
            rates[names[0]] - rates[compare], drawn[names[0]] - drawn[compare], level
        ),
        clip=clip,
        clipped=float((1.0 / before > clip).mean()),
        curves=len(curves),
        note=note,
    )


def _weighed(
    logged: LoggedClicks, examination: Examination, clip: float
) -> tuple[Floats, Floats, dict[str, Floats]]:
    """Of each click (n,): its examination, its weight, and its examination in every order."""
    page = np.array(logged.page)
    before = np.maximum(examination.at(np.array(logged.position), page), 1e-12)
    looks = {SHOWN: before} | {
        name: examination.at(np.array(places), page) for name, places in logged.others.items()
    }
    return before, np.minimum(1.0 / before, clip), looks


def _drawn(
    logged: LoggedClicks, curves: Sequence[Examination], clip: float, resamples: int, seed: int
) -> dict[str, Floats]:
    """The rates of every resample of the shoppers, in equal parts by each of the curves."""
    share = -(-resamples // len(curves))
    parts: dict[str, list[Floats]] = {}
    for number, curve in enumerate(curves):
        _, weight, looks = _weighed(logged, curve, clip)
        sums = _Sums(logged, {name: weight * look for name, look in looks.items()})
        for name, rates in sums.drawn(share, seed + number).items():
            parts.setdefault(name, []).append(rates)
    return {name: np.concatenate(rates) for name, rates in parts.items()}


def kish(weights: Floats) -> float:
    """The effective sample size (sum of weights)^2 / sum of squares; 0 without any weight."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


class _Sums:
    """Sums by shopper, which are drawn again as wholes."""

    def __init__(self, logged: LoggedClicks, weighted: Mapping[str, Floats]) -> None:
        count = len(logged.shoppers)
        of_click: Ints = np.array(logged.shopper, dtype=np.int64)
        self._names = list(weighted)
        columns = [
            np.bincount(np.array(logged.rankings, dtype=np.int64), minlength=count),
            np.bincount(of_click, minlength=count),
            *(np.bincount(of_click, weights, count) for weights in weighted.values()),
        ]
        self._table = np.column_stack(columns).astype(np.float64)  # (shoppers, 2 + orders)

    def rate(self, name: str) -> float:
        """Clicks per ranking."""
        return float(self._rate(self._table.sum(axis=0)[None], name)[0])

    def drawn(self, resamples: int, seed: int) -> dict[str, Floats]:
        """The same of every resample of the shoppers."""
        rng = np.random.default_rng(seed)
        count = len(self._table)
        totals = np.empty((resamples, self._table.shape[1]))
        for turn in range(resamples):
            times = np.bincount(rng.integers(0, count, count), minlength=count)
            totals[turn] = times @ self._table
        return {name: self._rate(totals, name) for name in self._names}

    def _rate(self, totals: Floats, name: str) -> Floats:
        logged = totals[:, 2 + self._names.index(SHOWN)]
        other = totals[:, 2 + self._names.index(name)]
        ratio = np.divide(other, logged, out=np.ones(len(logged)), where=logged > 0)
        rate: Floats = totals[:, 1] / totals[:, 0] * ratio
        return rate


def _interval(value: float, drawn: Floats, level: float) -> Interval:
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return Interval(value, float(low), float(high))
