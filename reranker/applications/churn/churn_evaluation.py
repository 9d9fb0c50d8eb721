"""churn_evaluation.py: events -> models of who leaves, tried on later moments; the best of them.

Rolling origin: at each moment a model is fitted on examples whose labels had ended by then, and
asked about the customers active at that moment. Which model ships is decided on moments before the
ones that are reported.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from indexes.errors import Failure
from indexes.storage.arrays import Floats, Ints, Mask
from reranker.applications.churn.churn_examples import (
    DAY,
    PURCHASE,
    ChurnEvents,
    Examples,
    examples_at,
)
from reranker.applications.churn.churn_models import Fit, candidates, probabilities
from reranker.metrics.classification import calibration_error

ACTIVE_DAYS: Final = 180.0
TESTED: Final = 3  # moments that are reported, a horizon apart
CHOSEN_ON: Final = 3  # moments before, on which the shipped model is chosen
WARM_UP: Final = 2  # horizons of history before the first example
MIN_EXAMPLES: Final = 200
SHIPPABLE: Final = (
    *("recency", "rfm-logistic", "bg-nbd", "logistic", "lightgbm-rfm", "lightgbm"),
    *("lightgbm-sequence", "mean"),
)
BASELINE: Final = "lightgbm-rfm"
METRICS: Final = ("auc", "average_precision", "brier", "log_loss", "ece", "lift@10%")
_RESAMPLES: Final = 200
_BINS: Final = 10
Chances = Mapping[str, Floats]


class TooFewPurchases(Failure):
    """Too little was bought, or for too short a time, to learn who leaves."""

    code = "too_few_purchases"


def moments(events: ChurnEvents, days: float) -> list[float]:
    """When examples are made: half a horizon apart, back from the last whose label is complete.

    Oldest first; none before two horizons of history.
    """
    if not len(events):
        return []
    last = float(events.times.max()) - days * DAY
    first = float(events.times.min()) + WARM_UP * days * DAY
    count = int(max(0.0, last - first) / (days / 2 * DAY)) + 1 if last >= first else 0
    return [last - step * days / 2 * DAY for step in reversed(range(count))]


def rolling(
    examples: Examples, asked: Sequence[float], days: float, models: Mapping[str, Fit]
) -> tuple[Examples, Chances]:
    """At each moment: fit on what had ended by then, foresee; all moments' examples pooled."""
    parts: list[Ints] = []
    chances: dict[str, list[Floats]] = {name: [] for name in models}
    for moment in asked:
        past = examples.at(ended_by(examples, moment, days))
        now = examples.moments == moment
        parts.append(np.flatnonzero(now))
        for name, fit in models.items():
            model = fit(past.inputs, past.left, days)
            chances[name].append(probabilities(model, examples.inputs[now]))
    return examples.at(np.concatenate(parts)), {
        name: np.concatenate(each) for name, each in chances.items()
    }


def ended_by(examples: Examples, moment: float, days: float) -> Mask:
    """Whose label windows had ended at a moment (n,); half a second of rounding is let pass."""
    return np.asarray(examples.moments + days * DAY <= moment + 0.5)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Examples at all moments, and which of these are for choosing and for the report."""

    examples: Examples
    choosing: list[float]
    tested: list[float]


def prepared(
    events: ChurnEvents, days: float, active_days: float, tested: int = TESTED
) -> Prepared:
    """TooFewPurchases where no model could be fitted before the first moment that is asked."""
    every = moments(events, days)
    apart = every[::-1][::2]  # a horizon apart, newest first
    testing, choosing = apart[:tested], apart[tested : tested + CHOSEN_ON]
    if not choosing or not (events.kinds == PURCHASE).any():
        raise _too_few(events, days, tested)
    examples = examples_at(events, every, days, active_days)
    choosing = [moment for moment in reversed(choosing) if _enough(examples, moment, days)]
    testing.reverse()
    if not choosing or not all(_enough(examples, moment, days) for moment in testing):
        raise _too_few(events, days, tested)
    return Prepared(examples, choosing, testing)


def _enough(examples: Examples, moment: float, days: float) -> bool:
    """Whether there is something to learn from before a moment, and somebody to ask about."""
    past = examples.left[ended_by(examples, moment, days)]
    gone = int(past.sum())
    asked = bool((examples.moments == moment).any())
    return asked and len(past) >= MIN_EXAMPLES and min(gone, len(past) - gone) >= MIN_EXAMPLES // 10


def _too_few(events: ChurnEvents, days: float, tested: int) -> TooFewPurchases:
    bought = int((events.kinds == PURCHASE).sum())
    span = float(np.ptp(events.times)) / DAY if len(events) else 0.0
    return TooFewPurchases(
        f"{bought:,} purchases over {span:,.0f} days are too few to learn and to test who buys "
        f"nothing within {days:g} days: {MIN_EXAMPLES} examples are needed that ended before the "
        f"first tested moment, which takes some {(WARM_UP + 2 + tested) * days:,.0f} days.",
        field="days",
        hint="Import more events with `reranker events import`, or take fewer --days.",
    )


def choose(examples: Examples, chances: Chances) -> tuple[str, dict[str, float]]:
    """The name of the least log loss, and the log loss of each that may ship.

    A proper score: it asks for order and for calibration at once.
    """
    losses = {name: log_loss(examples.left, chances[name]) for name in SHIPPABLE if name in chances}
    return min(losses, key=losses.__getitem__), losses


def evaluate(
    events: ChurnEvents,
    days: float,
    active_days: float = ACTIVE_DAYS,
    say: Callable[[str], object] = lambda _line: None,
) -> dict[str, Any]:
    """The report; every model on the same customers at the same moments."""
    ready = prepared(events, days, active_days)
    models = candidates()
    say(f"{len(ready.examples):,} examples; choosing on {len(ready.choosing)} moments")
    shipped, losses = choose(*rolling(ready.examples, ready.choosing, days, models))
    say(f"{shipped} ships; asking at {len(ready.tested)} later moments")
    tested, chances = rolling(ready.examples, ready.tested, days, models)
    metrics = {name: churn_metrics(tested.left, each) for name, each in chances.items()}
    intervals, difference = _bootstrap(tested, chances, shipped)
    return {
        "days": days,
        "active_days": active_days,
        "examples": len(tested),
        "customers": len(np.unique(tested.customers)),
        "base_rate": float(tested.left.mean()),
        "moments": [
            {
                "time": _iso(moment),
                "examples": int((tested.moments == moment).sum()),
                "base_rate": float(tested.left[tested.moments == moment].mean()),
            }
            for moment in ready.tested
        ],
        "metrics": metrics,
        "intervals": intervals,
        "difference": difference,
        "shipped": shipped,
        "chosen_by": {"log_loss": losses, "moments": [_iso(moment) for moment in ready.choosing]},
        "calibration": calibration(tested.left, chances[shipped]),
        "missing": _missing(chances),
    }


def _missing(chances: Chances) -> dict[str, str]:
    return {} if BASELINE in chances else {BASELINE: "needs shop-reranker[tune]"}


def log_loss(left: Mask, chances: Floats) -> float:
    """Mean negative log-likelihood of what came."""
    sure = np.clip(np.where(left, chances, 1.0 - chances), 1e-12, 1.0)
    return float(-np.log(sure).mean())


def lift(left: Mask, chances: Floats, share: float = 0.1) -> float:
    """How much more often the riskiest tenth leaves than everybody; equal risks share a place."""
    most = max(1, round(len(left) * share))
    least = np.sort(chances)[-most]
    above, level = chances > least, chances == least
    gone = left[above].sum() + (most - above.sum()) * left[level].mean()
    return float(gone / most / max(float(left.mean()), 1e-12))


def churn_metrics(left: Mask, chances: Floats) -> dict[str, float]:
    """METRICS; AUC and average precision are of those who leave."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    mixed = bool(left.any()) and not bool(left.all())
    return {
        "auc": float(roc_auc_score(left, chances)) if mixed else float("nan"),
        "average_precision": float(average_precision_score(left, chances)) if left.any() else 0.0,
        "brier": float(np.mean((chances - left) ** 2)),
        "log_loss": log_loss(left, chances),
        "ece": calibration_error(left, chances, _BINS),
        "lift@10%": lift(left, chances),
    }


def calibration(left: Mask, chances: Floats) -> list[dict[str, float]]:
    """Ten bins of equal width: how many, what was foreseen, what came."""
    place = np.minimum((chances * _BINS).astype(np.int64), _BINS - 1)
    return [
        {
            "from": at / _BINS,
            "to": (at + 1) / _BINS,
            "examples": int((place == at).sum()),
            "foreseen": float(chances[place == at].mean()),
            "observed": float(left[place == at].mean()),
        }
        for at in range(_BINS)
        if (place == at).any()
    ]


def _bootstrap(examples: Examples, chances: Chances, shipped: str) -> tuple[Any, Any]:
    """95 % intervals over customers, of each model and of shipped minus each other one."""
    rng = np.random.default_rng(1)
    _, owner = np.unique(examples.customers, return_inverse=True)
    groups = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
    names = list(chances)
    drawn = np.array([_resampled(groups, examples, chances, rng) for _ in range(_RESAMPLES)])
    own = np.array([list(churn_metrics(examples.left, chances[name]).values()) for name in names])
    best = names.index(shipped)
    apart, far = own[best] - own, drawn[:, best : best + 1] - drawn

    def ends(values: Floats) -> tuple[Floats, Floats]:
        low, high = np.nanquantile(values, [0.025, 0.975], axis=0)
        return low, high

    (low, high), (near, wide) = ends(drawn), ends(far)
    intervals = {
        name: {
            metric: {"low": float(low[row, at]), "high": float(high[row, at])}
            for at, metric in enumerate(METRICS)
        }
        for row, name in enumerate(names)
    }
    difference = {
        name: {
            metric: {
                "mean": float(apart[row, at]),
                "low": float(near[row, at]),
                "high": float(wide[row, at]),
            }
            for at, metric in enumerate(METRICS)
        }
        for row, name in enumerate(names)
        if name != shipped
    }
    return intervals, difference


def _resampled(
    groups: list[Ints], examples: Examples, chances: Chances, rng: np.random.Generator
) -> list[list[float]]:
    rows = np.concatenate([groups[at] for at in rng.integers(len(groups), size=len(groups))])
    return [
        list(churn_metrics(examples.left[rows], each[rows]).values()) for each in chances.values()
    ]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
