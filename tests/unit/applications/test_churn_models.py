"""Who leaves: inputs, labels, models and their reasons, by hand; and the guard against leaks."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from support.buyers import buyers

from indexes.storage.arrays import Floats
from reranker.applications.churn.churn_evaluation import (
    TooFewPurchases,
    calibration,
    choose,
    churn_metrics,
    ended_by,
    evaluate,
    lift,
    moments,
    prepared,
)
from reranker.applications.churn.churn_examples import (
    DAY,
    NAMES,
    RFM,
    ChurnEvents,
    Inputs,
    Leak,
    check_no_leak,
    churn_events,
    examples_at,
    inputs_at,
    left,
)
from reranker.applications.churn.churn_models import (
    GROUP_OF,
    BgNbd,
    BgNbdSlope,
    ChurnModel,
    Mean,
    bg_nbd_likelihood,
    fit_bg_nbd,
    fit_logistic,
    fit_trees,
    probabilities,
)
from reranker.events.events import HistoryEvent


def event(kind: str, day: float, item: str = "1", price: float = 0.0, n: float = 1) -> HistoryEvent:
    return HistoryEvent(type=kind, item=item, time=day * DAY, price=price, quantity=n)


def events_of(**customers: list[HistoryEvent]) -> ChurnEvents:
    return churn_events((name, one) for name, events in customers.items() for one in events)


@pytest.fixture(scope="module")
def population() -> ChurnEvents:
    return churn_events((str(one.user), one) for one in buyers())


def test_inputs_by_hand() -> None:
    mine = [
        event("purchase", 10, "1", 5.0, 2),
        event("purchase", 10, "2", 1.0),  # the same order
        event("view", 15, "3"),
        event("purchase", 30, "1", 9.0),
        event("cancel", 31, "1"),
        event("purchase", 40, "1", 4.0),
        event("purchase", 50, "1", 99.0),  # at the moment: not yet known
    ]
    inputs = inputs_at(events_of(a=mine), 50 * DAY, 180)
    assert inputs.customers.tolist() == [0]
    own = dict(zip(NAMES, inputs.columns[0].tolist(), strict=True))
    wanted = {
        **{"recency": 10, "tenure": 40, "frequency": 2, "purchase_days": 3, "mean_gap": 15},
        **{"gap_spread": 5, "overdue": 10 / 15, "monetary": 24 / 3, "last_value": 4, "items": 2},
        **{"repeat_share": 0.5, "orders_7": 0, "orders_30": 2, "orders_90": 3, "lines_90": 4},
        **{"spend_30": 13, "spend_90": 24, "cancels": 1, "cancels_90": 1, "seen": 10},
        **{"views_30": 0, "views_90": 1},
    }
    assert {name: own[name] for name in wanted} == pytest.approx(wanted)
    assert inputs.values.tolist() == pytest.approx([24 / (40 / 30)])  # a month's spend


def test_who_is_active_and_who_leaves_at_the_borders() -> None:
    events = events_of(
        exactly=[event("purchase", 20), event("purchase", 60)],
        before=[event("purchase", 19.9), event("purchase", 89.9)],
        late=[event("purchase", 30), event("purchase", 90)],
        looks=[event("view", 59)],
        returns=[event("purchase", 50), event("cancel", 61)],
    )
    at = inputs_at(events, 60 * DAY, 40)
    assert [events.customers[who] for who in at.customers] == ["exactly", "late", "returns"]
    gone = left(events, np.arange(5), 60 * DAY, 30)
    # A purchase at the moment itself is in the window, one at its end is not; nothing else counts.
    assert gone.tolist() == [False, False, True, True, True]


def test_unknown_is_unknown_and_not_zero() -> None:
    inputs = inputs_at(events_of(a=[event("purchase", 10)]), 20 * DAY, 180)
    gaps = [inputs.column(name)[0] for name in ("mean_gap", "gap_spread", "overdue")]
    assert all(math.isnan(gap) for gap in gaps) and inputs.column("frequency")[0] == 0


def test_a_planted_leak_is_found(population: ChurnEvents) -> None:
    moment = float(population.times.max()) - 60 * DAY

    def leaking(events: ChurnEvents, moment: float, active_days: float) -> Inputs:
        """Orders of the last 30 days, by a window that ends a day late."""
        inputs = inputs_at(events, moment, active_days)
        late = inputs_at(events, moment + DAY, active_days + 1)
        columns = inputs.columns.copy()
        place = NAMES.index("orders_30")
        columns[:, place] = late.columns[np.isin(late.customers, inputs.customers), place]
        return Inputs(inputs.customers, columns, inputs.values)

    check_no_leak(inputs_at, population, moment, 180)
    with pytest.raises(Leak, match="orders_30"):
        check_no_leak(leaking, population, moment, 180)

    def knows_who_comes(events: ChurnEvents, moment: float, active_days: float) -> Inputs:
        return inputs_at(events, moment + DAY, active_days)

    with pytest.raises(Leak):
        check_no_leak(knows_who_comes, population, moment, 180)


def test_models_learn_only_from_what_had_ended(population: ChurnEvents) -> None:
    ready = prepared(population, 30, 180)
    assert ready.choosing == sorted(ready.choosing) and ready.choosing[-1] < ready.tested[0]
    for moment in ready.choosing + ready.tested:
        past = ready.examples.at(ended_by(ready.examples, moment, 30))
        assert past.moments.max() <= moment - 30 * DAY + 0.5
    assert ready.tested[-1] == population.times.max() - 30 * DAY
    assert moments(population.before(population.times.min() + DAY), 30) == []


def likelihood_by_hand(
    x: int, last: float, tenure: float, r: float, alpha: float, a: float, b: float
) -> float:
    """Equation 6 of Fader, Hardie, Lee 2005, in plain gammas and powers."""
    gamma = math.gamma

    def beta(one: float, other: float) -> float:
        return gamma(one) * gamma(other) / gamma(one + other)

    rate = gamma(r + x) * alpha**r / gamma(r)
    stays = beta(a, b + x) / beta(a, b) / (alpha + tenure) ** (r + x)
    leaves = beta(a + 1, b + x - 1) / beta(a, b) / (alpha + last) ** (r + x) if x else 0.0
    return float(rate * (stays + leaves))


@pytest.mark.parametrize(("x", "last", "tenure"), [(0, 0.0, 30.0), (1, 4.0, 10.0), (3, 20.0, 35.0)])
def test_bg_nbd_by_hand(x: int, last: float, tenure: float) -> None:
    r, alpha, a, b = 0.5, 6.0, 0.9, 2.5
    columns = np.array([float(x)]), np.array([last]), np.array([tenure])
    log = bg_nbd_likelihood(np.array([r, alpha, a, b]), *columns)
    assert log[0] == pytest.approx(math.log(likelihood_by_hand(x, last, tenure, r, alpha, a, b)))
    model = BgNbd(r, alpha, a, b, 10.0, [0, 0, 1])
    recency = columns[2] - columns[1]
    odds = a / (b + x - 1) * ((alpha + tenure) / (alpha + last)) ** (r + x) if x else 0.0
    assert model.alive(columns[0], recency, columns[2])[0] == pytest.approx(1 / (1 + odds))
    none = ((alpha + tenure) / (alpha + tenure + 10)) ** (r + x)
    wanted = 1 - (1 - none) / (1 + odds)
    assert model.no_purchase(columns[0], recency, columns[2], 10.0)[0] == pytest.approx(wanted)


@pytest.mark.parametrize("values", [(0.5, 6.0, 0.9, 2.5), (3.0, 100.0, 0.01, 40.0)])
def test_slopes_of_bg_nbd_are_those_of_its_likelihood(values: tuple[float, ...]) -> None:
    at, (x, last, tenure) = np.array(values), drawn_customers(300)
    mean, slope = BgNbdSlope(x, last, tenure)(at)
    assert mean == pytest.approx(bg_nbd_likelihood(at, x, last, tenure).mean(), rel=1e-12)
    for place in range(4):
        step = 1e-5 * at * (np.arange(4) == place)
        ends = [bg_nbd_likelihood(at + sign * step, x, last, tenure).mean() for sign in (1, -1)]
        assert slope[place] == pytest.approx((ends[0] - ends[1]) / (2 * step[place]), rel=1e-5)


def test_bg_nbd_is_fitted_as_by_finite_differences() -> None:
    """The same likelihood at its top, and the same chances."""
    x, last, tenure = drawn_customers(300)
    columns = np.zeros((300, len(NAMES)))
    columns[:, [NAMES.index(name) for name in ("frequency", "recency", "tenure")]] = (
        np.column_stack([x, tenure - last, tenure])
    )

    def loss(logs: Floats) -> float:
        each = bg_nbd_likelihood(np.exp(logs), x, last, tenure)
        return float(-each.mean() + 1e-4 * logs @ logs)

    start = np.array([0.0, np.log(tenure.mean()), 0.0, 1.0])
    plain = minimize(loss, start, method="L-BFGS-B", bounds=[(-7.0, 9.0)] * 4)
    model = fit_bg_nbd(columns, 30)
    fitted = np.array([model.r, model.alpha, model.a, model.b])
    assert loss(np.log(fitted)) <= plain.fun + 1e-9
    r, alpha, a, b = np.exp(plain.x).tolist()
    slow = BgNbd(r, alpha, a, b, 30, model.typical)
    chances = probabilities(slow, columns)
    np.testing.assert_allclose(probabilities(model, columns), chances, atol=2e-3)


def drawn_customers(n: int) -> tuple[Floats, Floats, Floats]:
    """x, last and tenure (n,), a third of them without a repeat purchase."""
    rng = np.random.default_rng(0)
    x, tenure = rng.poisson(1.2, n).astype(float), rng.uniform(1, 400, n)
    return x, np.where(x > 0, tenure * rng.random(n), 0.0), tenure


def test_bg_nbd_without_purchases_to_come_by_simulation() -> None:
    """Of customers drawn as the model says, as many buy nothing as it says."""
    r, alpha, a, b = 0.8, 20.0, 1.0, 3.0
    rng = np.random.default_rng(4)
    n, tenure, days = 200_000, 60.0, 30.0
    rate, leaves = rng.gamma(r, 1 / alpha, n), rng.beta(a, b, n)
    clock, alive = np.zeros(n), np.ones(n, bool)
    x, last, later = np.zeros(n), np.zeros(n), np.zeros(n, bool)
    for _ in range(60):
        clock = np.where(alive, clock + rng.exponential(1 / np.maximum(rate, 1e-12)), np.inf)
        past = clock < tenure
        x, last = x + past, np.where(past, clock, last)
        later |= (clock >= tenure) & (clock < tenure + days)
        alive &= rng.random(n) >= leaves
    model = BgNbd(r, alpha, a, b, days, [0, 0, 1])
    foreseen = model.no_purchase(x, tenure - last, np.full(n, tenure), days)
    for chosen in (x == 0, x == 1, x >= 2):
        assert foreseen[chosen].mean() == pytest.approx((~later[chosen]).mean(), abs=0.01)


def test_bg_nbd_stays_finite_for_who_buys_without_end() -> None:
    columns = np.zeros((3, len(NAMES)))
    columns[:, :3] = [[0, 5000, 5000], [9000, 0, 1e-3], [4000, 900, 1e6]]
    model = fit_bg_nbd(columns, 30)
    assert np.isfinite(model.log_odds(columns)).all()
    for share in model.shares(columns).values():
        assert np.isfinite(share).all()


@pytest.fixture(scope="module")
def fitted(population: ChurnEvents) -> tuple[Any, dict[str, ChurnModel]]:
    every = prepared(population, 30, 180).examples
    logistic = fit_logistic(NAMES, every.inputs, every.left, 10.0)
    trees = fit_trees(NAMES, every.inputs, every.left, 30)
    models: dict[str, ChurnModel] = {
        "rfm": fit_logistic(RFM, every.inputs, every.left),
        "bg-nbd": fit_bg_nbd(every.inputs, 30),
        "trees": trees,
        "mean": Mean([logistic, trees]),
    }
    return every, models


@pytest.mark.parametrize("name", ["rfm", "bg-nbd", "trees", "mean"])
def test_reasons_add_up_to_the_log_odds(
    fitted: tuple[Any, dict[str, ChurnModel]], name: str
) -> None:
    every, models = fitted
    model = models[name]
    shares, odds = model.shares(every.inputs), model.log_odds(every.inputs)
    assert shares.keys() <= set(GROUP_OF.values())
    constant = odds - sum(shares.values())
    np.testing.assert_allclose(constant, constant[0], atol=1e-9)
    chances = probabilities(model, every.inputs)
    assert ((chances >= 0) & (chances <= 1)).all()
    again = msgspec.json.decode(msgspec.json.encode(model), type=ChurnModel)
    np.testing.assert_array_equal(again.log_odds(every.inputs), odds)


numbers = st.floats(min_value=0, max_value=1e9)


@given(x=st.integers(0, 100_000), recency=numbers, more=numbers, spend=numbers)
@settings(max_examples=60, deadline=None)
def test_any_customer_has_a_probability(
    fitted: tuple[Any, dict[str, ChurnModel]], x: int, recency: float, more: float, spend: float
) -> None:
    columns = np.full((1, len(NAMES)), np.nan)
    columns[0, : len(RFM)] = recency, x, recency + more, spend
    for model in fitted[1].values():
        [chance] = probabilities(model, columns)
        assert 0 <= chance <= 1


def test_metrics_by_hand() -> None:
    truth = np.array([True, True, False, False])
    chances = np.array([0.9, 0.4, 0.6, 0.1])
    metrics = churn_metrics(truth, chances)
    assert metrics["auc"] == pytest.approx(3 / 4)
    assert metrics["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert lift(np.arange(20) < 5, -np.arange(20.0)) == pytest.approx(4.0)
    assert lift(np.arange(20) < 5, np.zeros(20)) == pytest.approx(1.0)  # equal risks: no order
    assert [bin["examples"] for bin in calibration(truth, chances)] == [1, 1, 1, 1]


def test_the_best_by_log_loss_is_chosen(population: ChurnEvents) -> None:
    every = prepared(population, 30, 180).examples
    good = np.where(every.left, 0.7, 0.3)
    chances = {"recency": np.full(len(good), 0.5), "bg-nbd": good, "no model": every.left * 1.0}
    name, losses = choose(every, chances)
    assert name == "bg-nbd" and losses.keys() == {"recency", "bg-nbd"}
    assert losses["recency"] == pytest.approx(math.log(2))


@pytest.mark.heavy
def test_evaluation_names_what_ships_and_leaks_nothing(population: ChurnEvents) -> None:
    result = evaluate(population, 30)
    assert result["shipped"] in result["metrics"]
    shipped = result["metrics"][result["shipped"]]
    assert 0.5 < shipped["auc"] < 0.95
    assert shipped["average_precision"] > result["base_rate"]
    assert result["difference"].keys() == result["metrics"].keys() - {result["shipped"]}
    assert sum(bin["examples"] for bin in result["calibration"]) == result["examples"]


def test_too_few_purchases_are_said() -> None:
    looks = [event("view", day) for day in range(400)]
    with pytest.raises(TooFewPurchases, match="0 purchases over 399 days"):
        prepared(events_of(a=looks), 30, 180)
    with pytest.raises(TooFewPurchases, match="3 purchases"):
        prepared(events_of(a=[event("purchase", day) for day in (0, 5, 390)]), 30, 180)
    with pytest.raises(TooFewPurchases):
        prepared(events_of(), 30, 180)


def test_examples_are_taken_at_each_moment() -> None:
    events = events_of(a=[event("purchase", 0), event("purchase", 50)], b=[event("purchase", 40)])
    examples = examples_at(events, [30 * DAY, 45 * DAY], 10, 45)
    assert examples.customers.tolist() == [0, 0, 1]
    assert examples.left.tolist() == [True, False, True]
