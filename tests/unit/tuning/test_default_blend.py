"""The default blend that `reranker train` fits: what was learned, weighed by held-out searches."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from indexes.storage.arrays import Values
from reranker.blends.blend import DEFAULT, PERSONAL
from reranker.signals.registry import SIGNALS as EVERY
from reranker.tuning.default_blend import FEATURES, DefaultFit, Lists, joined

SIGNALS = ("popular", "near", "taste")
PERSONAL_PLACES = [2, 3]  # near and taste, after what needs no history


def lists(seed: int, count: int = 200, size: int = 20, gate_opens: bool = True) -> Lists:
    """Searches answered by base + 3 near where `closest` is high; the rest is noise."""
    rng = np.random.default_rng(seed)
    values = rng.random((count * size, 1 + len(SIGNALS)))
    features = np.zeros((count, 1 + len(FEATURES)))
    features[:, 0] = 1.0
    related = rng.random(count) < 0.5
    features[:, 1] = np.where(related, 0.9, 0.1)
    owner = np.repeat(np.arange(count), size)
    opened = related[owner] if gate_opens else np.zeros(count * size, bool)
    useful = 3.0 * values[:, 0] + 9.0 * opened * values[:, 2] + rng.gumbel(0, 1, count * size)
    shares = np.zeros(count * size)
    best = useful.reshape(count, size).argmax(axis=1) + size * np.arange(count)
    shares[best] = 1.0
    return Lists(values, shares, features, np.arange(count + 1) * size)


def test_the_slope_is_that_of_the_loss() -> None:
    fit, made = DefaultFit(SIGNALS), lists(1, count=12)
    numbers = fit.start(made) + np.random.default_rng(2).random(
        1 + len(SIGNALS) + 1 + len(FEATURES)
    )

    def loss(at: Values) -> float:
        return fit._loss(made, at)[0]

    def slope(at: Values) -> Values:
        return fit._loss(made, at)[1]

    assert check_grad(loss, slope, numbers) < 1e-5


def test_what_helps_is_weighed_and_noise_is_not() -> None:
    fit, made = DefaultFit(SIGNALS), lists(3)
    blend = fit.blend(fit.fitted(made, 1.0), "")
    weights = {name: blend.signals[name].weight for name in SIGNALS}
    assert weights["near"] > 2 * PERSONAL.signals["near"].weight
    assert weights["taste"] < PERSONAL.signals["taste"].weight
    assert weights["popular"] < PERSONAL.signals["popular"].weight
    assert blend.gate is not None
    opened, shut = (
        blend.gate.value(dict.fromkeys(FEATURES, 0.0) | {"closest": value}) for value in (0.9, 0.1)
    )
    assert opened > 0.6 > 0.3 > shut


def test_what_needs_no_history_keeps_its_weights() -> None:
    fit, made = DefaultFit(SIGNALS), lists(4)
    blend = fit.blend(fit.fitted(made, 10.0), "why")
    for_all = {name: of for name, of in DEFAULT.signals.items() if not EVERY[name].personal}
    assert {name: blend.signals[name] for name in for_all} == for_all
    assert blend.name == "default" and blend.note == "why" and blend.guards == DEFAULT.guards


def test_a_firm_hold_keeps_the_built_in_weights() -> None:
    fit, made = DefaultFit(SIGNALS), lists(5)
    blend = fit.blend(fit.fitted(made, 1e9), "")
    for name in SIGNALS:
        assert blend.signals[name].weight == pytest.approx(PERSONAL.signals[name].weight, rel=1e-3)


def test_strangers_histories_close_the_gate() -> None:
    fit = DefaultFit(SIGNALS)
    own = lists(6)
    strangers = lists(7, gate_opens=False)
    apart = fit.fitted(own, 10.0)
    together = fit.fitted(joined([own, strangers]), 10.0)
    place = 1 + SIGNALS.index("near")
    assert together[place] / together[0] < apart[place] / apart[0]


def test_closed_is_the_ranking_without_a_history() -> None:
    fit, made = DefaultFit(SIGNALS), lists(8, count=5)
    numbers = fit.fitted(made, 10.0)
    blind = Lists(made.values.copy(), made.shares, made.features, made.at)
    blind.values[:, PERSONAL_PLACES] = 0.0
    np.testing.assert_array_equal(fit.scores(made, fit.closed(numbers)), fit.scores(blind, numbers))
