"""churn_models.py: examples -> models of who leaves, each with exact reasons in log-odds.

Every model gives `log_odds(inputs)` (n,) and `shares(inputs)`: what each group of inputs adds to
them, beside a constant; both add up exactly. All are plain numbers or LightGBM's own text, so a
model is one JSON object, and nothing is ever unpickled.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from itertools import combinations
from math import factorial
from typing import Any, Final

import msgspec
import numpy as np

from indexes.errors import Failure
from indexes.storage.arrays import Floats, Mask
from reranker.applications.churn.churn_examples import NAMES, RFM

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "recency": ("recency",),
    "tenure": ("tenure",),
    "rhythm": ("mean_gap", "gap_spread", "overdue"),
    "frequency": tuple(
        name
        for name in NAMES
        if name in ("frequency", "purchase_days") or name.startswith(("orders_", "lines_"))
    ),
    "spend": tuple(
        name for name in NAMES if name in ("monetary", "last_value") or name.startswith("spend_")
    ),
    "variety": ("items", "repeat_share"),
    "cancellations": ("cancels", "cancels_90"),
    "visits": tuple(name for name in NAMES if name.startswith(("seen", "views_", "carts_", "sea"))),
}
GROUP_OF: Final = {name: group for group, names in GROUPS.items() for name in names}
VECTOR: Final = "behaviour"  # the group of all numbers of a sequence vector
Shares = dict[str, Floats]
_TREES: Final = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 8,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
ROUNDS: Final = 200


class Logistic(msgspec.Struct, frozen=True, tag="logistic"):
    """Logistic regression on log(1 + input), standardised; an unknown input counts as the mean."""

    names: list[str]
    mean: list[float]
    spread: list[float]
    weights: list[float]
    bias: float

    def log_odds(self, inputs: Floats) -> Floats:
        """(n, len(NAMES) or more) -> (n,)."""
        return np.asarray(self.bias + self._terms(inputs).sum(axis=1))

    def shares(self, inputs: Floats) -> Shares:
        """The terms, by group."""
        return _grouped(self.names, self._terms(inputs))

    def _terms(self, inputs: Floats) -> Floats:
        scaled = (_logs(inputs[:, _places(self.names)]) - self.mean) / self.spread
        return np.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0) * self.weights


def fit_logistic(
    names: tuple[str, ...], inputs: Floats, left: Mask, penalty: float = 1.0
) -> Logistic:
    """Maximum likelihood with a ridge on the standardised weights."""
    from scipy.optimize import minimize
    from scipy.special import expit

    logs = _logs(inputs[:, _places(names)])
    known = np.isfinite(logs)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, logs, 0.0).sum(axis=0) / count
    square = (np.where(known, logs - mean, 0.0) ** 2).sum(axis=0) / count
    spread = np.where(square > 1e-12, np.sqrt(square), 1.0)
    scaled = np.nan_to_num((logs - mean) / spread, nan=0.0)

    def loss(values: Floats) -> tuple[float, Floats]:
        weights, bias = values[:-1], values[-1]
        line = scaled @ weights + bias
        wrong = expit(line) - left
        total = np.logaddexp(0.0, line).sum() - line[left].sum()
        gradient = np.append(scaled.T @ wrong + penalty * weights, wrong.sum())
        return float(total + penalty / 2 * weights @ weights), gradient

    start = np.zeros(len(names) + 1)
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return Logistic(
        list(names), mean.tolist(), spread.tolist(), fitted[:-1].tolist(), float(fitted[-1])
    )


class BgNbd(msgspec.Struct, frozen=True, tag="bg_nbd"):
    """Buying at a rate (gamma), leaving after any purchase with a chance (beta): Fader, Hardie, Lee
    2005, "Counting Your Customers" the Easy Way. Reads frequency, recency and tenure alone.

    typical: these three of the median customer, from whom reasons are counted.
    """

    r: float
    alpha: float
    a: float
    b: float
    days: float
    typical: list[float]

    def alive(self, x: Floats, recency: Floats, tenure: Floats) -> Floats:
        """The chance that a customer has not left, after x repeat purchases (n,)."""
        last = np.maximum(tenure - recency, 0.0)
        odds = (self.r + x) * (np.log(self.alpha + tenure) - np.log(self.alpha + last))
        gone = np.where(x > 0, np.log(self.a) - np.log(self.b + np.maximum(x, 1) - 1) + odds, -700)
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(gone, -700, 700))))

    def no_purchase(self, x: Floats, recency: Floats, tenure: Floats, days: float) -> Floats:
        """The chance of none within these days: gone, or alive and without one.

        Of who is alive the rate is gamma(r + x, alpha + T), so that none comes with the chance
        ((alpha + T) / (alpha + T + days)) ^ (r + x).
        """
        base = np.log(self.alpha + tenure) - np.log(self.alpha + tenure + days)
        buys = -np.expm1((self.r + x) * base)
        return np.asarray(1.0 - self.alive(x, recency, tenure) * buys)

    def log_odds(self, inputs: Floats) -> Floats:
        """(n,)."""
        return self._of(*(inputs[:, NAMES.index(name)] for name in _BG_NBD))

    def shares(self, inputs: Floats) -> Shares:
        """Shapley values of its three inputs, against the typical customer: all 8 subsets."""
        own = [inputs[:, NAMES.index(name)] for name in _BG_NBD]
        shares = {name: np.zeros(len(inputs)) for name in _BG_NBD}
        for place, name in enumerate(_BG_NBD):
            others = [at for at in range(3) if at != place]
            for size in range(3):
                weight = factorial(size) * factorial(2 - size) / factorial(3)
                for subset in combinations(others, size):
                    with_it = self._mixed(own, {*subset, place})
                    shares[name] += weight * (with_it - self._mixed(own, set(subset)))
        return {GROUP_OF[name]: share for name, share in shares.items()}

    def _mixed(self, own: list[Floats], at: set[int]) -> Floats:
        """Log-odds with these inputs of the customer, the others of the typical one.

        Nobody's last purchase is longer ago than the first.
        """
        x, recency, tenure = (
            own[place] if place in at else np.full(len(own[0]), self.typical[place])
            for place in range(3)
        )
        return self._of(x, recency, np.maximum(tenure, recency))

    def _of(self, x: Floats, recency: Floats, tenure: Floats) -> Floats:
        from scipy.special import logit

        return np.asarray(logit(np.clip(self.no_purchase(x, recency, tenure, self.days), 1e-9, _1)))


_BG_NBD: Final = ("frequency", "recency", "tenure")
_1: Final = 1.0 - 1e-9


def bg_nbd_likelihood(values: Floats, x: Floats, last: Floats, tenure: Floats) -> Floats:
    """Log-likelihood of each customer (n,), in logarithms throughout.

    values: r, alpha, a, b. x: repeat purchases; last: time of the last one since the first; tenure:
    time since the first. Equation 6 of Fader, Hardie, Lee 2005.
    """
    from scipy.special import betaln, gammaln

    r, alpha, a, b = values
    rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stays = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + tenure)
    some = np.maximum(x, 1.0)
    leaves = betaln(a + 1, b + some - 1) - betaln(a, b) - (r + x) * np.log(alpha + last)
    return np.asarray(rate + np.where(x > 0, np.logaddexp(stays, leaves), stays))


class BgNbdSlope:
    """The mean of `bg_nbd_likelihood` over customers (n,), with its derivatives.

    Gamma functions are taken once for each distinct x, most customers share one.
    """

    def __init__(self, x: Floats, last: Floats, tenure: Floats) -> None:
        self.last, self.tenure = last, tenure
        self.counts, self.place = np.unique(x, return_inverse=True)
        self.share = np.bincount(self.place, minlength=len(self.counts)) / len(x)

    def __call__(self, values: Floats) -> tuple[float, Floats]:
        """values: r, alpha, a, b. The mean, and its derivatives by each of them (4,)."""
        from scipy.special import betaln, digamma, expit, gammaln

        r, alpha, a, b = values
        k, share, place = self.counts, self.share, self.place
        some = np.maximum(k, 1.0)
        since_first, since_last = np.log(alpha + self.tenure), np.log(alpha + self.last)
        # leaves - stays: B(a + 1, b + k - 1) / B(a, b + k); nobody leaves before a repeat purchase.
        odds = np.where(k > 0, np.log(a) - np.log(b + some - 1), -np.inf)
        exponent = (r + k)[place]
        difference = odds[place] + exponent * (since_first - since_last)
        gone = expit(difference)
        each = np.logaddexp(0.0, difference) - exponent * since_first
        rate = gammaln(r + k) - gammaln(r) + r * np.log(alpha)
        value = share @ (rate + betaln(a, b + k) - betaln(a, b)) + each.mean()
        by_count = np.bincount(place, gone, minlength=len(k)) / len(place)
        logs = since_first + gone * (since_last - since_first)
        left, right = gone / (alpha + self.last), (1.0 - gone) / (alpha + self.tenure)
        both = digamma(a + b) - digamma(a + b + k)
        slope = np.array(
            [
                share @ (digamma(r + k) - digamma(r)) + np.log(alpha) - logs.mean(),
                r / alpha - float((exponent * (left + right)).mean()),
                share @ both + by_count.sum() / a,
                share @ (both + digamma(b + k) - digamma(b)) - by_count @ (1 / (b + some - 1)),
            ]
        )
        return float(value), slope


def fit_bg_nbd(inputs: Floats, days: float) -> BgNbd:
    """Maximum likelihood over log r, log alpha, log a, log b, kept from running away."""
    from scipy.optimize import minimize

    x, recency, tenure = (inputs[:, NAMES.index(name)] for name in _BG_NBD)
    last = np.maximum(tenure - recency, 0.0)
    likelihood = BgNbdSlope(x, last, tenure)

    def loss(logs: Floats) -> tuple[float, Floats]:
        values = np.exp(logs)
        mean, slope = likelihood(values)
        return float(-mean + 1e-4 * logs @ logs), 2e-4 * logs - slope * values

    start = np.array([0.0, np.log(max(float(tenure.mean()), 1.0)), 0.0, 1.0])
    bounds = [(-7.0, 9.0)] * 4
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    typical = [float(np.median(column)) for column in (x, recency, tenure)]
    r, alpha, a, b = np.exp(fitted).tolist()
    return BgNbd(r, alpha, a, b, days, typical)


class Trees(msgspec.Struct, frozen=True, tag="trees"):
    """LightGBM (Ke et al. 2017) in its own text; shares are SHAP values, exact for trees."""

    names: list[str]
    model: str

    def log_odds(self, inputs: Floats) -> Floats:
        """(n,)."""
        booster = _booster(self.model)
        columns = inputs[:, _places(self.names)]
        return np.asarray(booster.predict(columns, raw_score=True, num_threads=1), np.float64)

    def shares(self, inputs: Floats) -> Shares:
        """By group; the constant is the mean of what it was grown on."""
        columns = inputs[:, _places(self.names)]
        each = np.asarray(
            _booster(self.model).predict(columns, pred_contrib=True, num_threads=1), np.float64
        )
        return _grouped(self.names, each[:, :-1])


def fit_trees(names: tuple[str, ...], inputs: Floats, left: Mask, rounds: int = ROUNDS) -> Trees:
    """Small trees, many of them, on all of the examples."""
    import lightgbm

    data = lightgbm.Dataset(inputs[:, _places(names)], left.astype(np.float64))
    booster = lightgbm.train(dict(_TREES), data, num_boost_round=rounds)
    return Trees(list(names), booster.model_to_string())


class Mean(msgspec.Struct, frozen=True, tag="mean"):
    """The mean log-odds of several; so are its shares."""

    models: list["Logistic | BgNbd | Trees"]

    def log_odds(self, inputs: Floats) -> Floats:
        """(n,)."""
        return np.asarray(np.mean([model.log_odds(inputs) for model in self.models], axis=0))

    def shares(self, inputs: Floats) -> Shares:
        """The mean of theirs."""
        total: Shares = {}
        for model in self.models:
            for group, share in model.shares(inputs).items():
                total[group] = total.get(group, 0.0) + share / len(self.models)
        return total


ChurnModel = Logistic | BgNbd | Trees | Mean


def probabilities(model: ChurnModel, inputs: Floats) -> Floats:
    """The chance that each leaves (n,), from 0 to 1."""
    from scipy.special import expit

    return np.asarray(expit(model.log_odds(inputs)))


class NoTrees(Failure):
    """A model of trees on a machine without LightGBM."""

    code = "lightgbm_missing"


def has_trees() -> bool:
    """Whether LightGBM is installed."""
    return find_spec("lightgbm") is not None


@lru_cache(maxsize=8)
def _booster(model: str) -> Any:
    if not has_trees():
        raise NoTrees(
            "This churn model needs LightGBM, which this installation lacks.",
            hint="Run `pip install 'shop-reranker[tune]'`.",
        )
    import lightgbm

    return lightgbm.Booster(model_str=model)


def _places(names: "list[str] | tuple[str, ...]") -> list[int]:
    """Columns; those of a sequence vector stand behind the named ones."""
    return [
        len(NAMES) + int(name.partition("_")[2]) if name.startswith(VECTOR) else NAMES.index(name)
        for name in names
    ]


def _logs(inputs: Floats) -> Floats:
    return np.sign(inputs) * np.log1p(np.abs(inputs))


def _grouped(names: list[str], terms: Floats) -> Shares:
    shares: Shares = {}
    for place, name in enumerate(names):
        group = GROUP_OF.get(name, VECTOR)
        shares[group] = shares.get(group, 0.0) + terms[:, place]
    return shares


Fit = Callable[[Floats, Mask, float], ChurnModel]  # inputs, left, days


def candidates(vector: int = 0) -> dict[str, Fit]:
    """Every model that is compared, plainest first. vector: width of the sequence vector."""
    models: dict[str, Fit] = {
        "recency": lambda inputs, left, _: fit_logistic(("recency",), inputs, left),
        "rfm-logistic": lambda inputs, left, _: fit_logistic(RFM, inputs, left),
        "bg-nbd": lambda inputs, _, days: fit_bg_nbd(inputs, days),
        "logistic": lambda inputs, left, _: fit_logistic(NAMES, inputs, left, 10.0),
    }
    if not has_trees():
        return models
    models["lightgbm-rfm"] = lambda inputs, left, _: fit_trees(RFM, inputs, left)
    models["lightgbm"] = lambda inputs, left, _: fit_trees(NAMES, inputs, left)
    if vector:
        wide = (*NAMES, *(f"{VECTOR}_{at}" for at in range(vector)))
        models["lightgbm-sequence"] = lambda inputs, left, _: fit_trees(wide, inputs, left)
    models["mean"] = lambda inputs, left, _: Mean(
        [fit_logistic(NAMES, inputs, left, 10.0), fit_trees(NAMES, inputs, left)]
    )
    return models
