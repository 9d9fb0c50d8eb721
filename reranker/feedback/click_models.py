"""click_models.py: click counts -> how likely each position is looked at (position-based model).

A click needs two things that do not depend on each other: the position is looked at (examination,
by position) and the item is attractive for the query (by pair): P(click) = examination x
attractiveness (Richardson et al. 2007, Craswell et al. 2008). Only their product is seen, so
examination is relative: 1 at the first position. And only pairs that were shown at several
positions tell one from the other.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from indexes.errors import Failure
from indexes.storage.arrays import Floats, Ints
from reranker.feedback.click_counts import sums

Shape = Literal["monotone", "power", "free"]
Method = Literal["balance", "em"]
SHAPES: Final[tuple[Shape, ...]] = ("monotone", "power", "free")
METHODS: Final[tuple[Method, ...]] = ("balance", "em")
ROUNDS: Final = 500
_TOLERANCE: Final = 1e-6
_LOWEST: Final = 1e-6


@dataclass(frozen=True)
class Examination:
    """How likely each position is looked at, relative to the first; positions count from 0."""

    by_position: Floats

    def at(self, positions: Ints, page_length: Ints | int) -> Floats:
        """Examination at these positions; 0 from `page_length` on, the last one in between."""
        place = np.minimum(positions, len(self.by_position) - 1)
        chance: Floats = np.where(positions < page_length, self.by_position[place], 0.0)
        return chance


@dataclass(frozen=True)
class ClickModel:
    """The fitted model and what it was fitted to; attractiveness is by pair."""

    examination: Examination
    attractiveness: Floats
    shown: Floats  # impressions by position
    clicked: Floats
    telling_pairs: int  # pairs that were shown at several positions, and clicked
    rounds: int


def fit_clicks(
    pair: Ints,
    position: Ints,
    shown: Floats,
    clicked: Floats,
    shape: Shape = "monotone",
    method: Method = "balance",
) -> ClickModel:
    """The position-based model of these counts; Failure where they cannot tell its two parts apart.

    shape: monotone, never rising with the position; power, position^-x; free, anything.
    method: balance makes clicks and expected clicks agree, for every pair and every position in
    turn, which stays right however few impressions a pair has. em is the likelihood's maximum,
    which thinks too well of low positions where pairs are many and impressions few.
    """
    telling = telling_pairs(pair, clicked)
    if not telling:
        raise Failure(
            "No (query, item) that was clicked was shown at more than one position: how far clicks "
            "are due to the position cannot be told.",
            hint="It takes several orders of the same results: another blend, histories, or a "
            "small random change now and then.",
        )
    impressions = sums(position, shown)
    looked, liked, rounds = _balance(pair, position, shown, clicked, shape)
    if method == "em":
        looked, liked, rounds = _em(pair, position, shown, clicked, (looked, liked), shape)
    top = max(float(looked[0]), _LOWEST)
    return ClickModel(
        examination=Examination(np.clip(looked / top, 0.0, 1.0)),
        attractiveness=np.clip(liked * top, 0.0, 1.0),
        shown=impressions,
        clicked=sums(position, clicked),
        telling_pairs=telling,
        rounds=rounds,
    )


def drawn_curves(
    draws: Iterable[tuple[Ints, Ints, Floats, Floats]], shape: Shape
) -> list[Examination]:
    """The examination of each draw of the shoppers that tells it: how far it may be wrong."""
    curves = []
    for pair, position, shown, clicked in draws:
        _, number = np.unique(pair, return_inverse=True)
        if telling_pairs(number, clicked):
            curves.append(fit_clicks(number, position, shown, clicked, shape).examination)
    return curves


def telling_pairs(pair: Ints, clicked: Floats) -> int:
    """How many pairs were clicked and shown at more than one position; a row is one of both."""
    return int(((np.bincount(pair) > 1) & (sums(pair, clicked) > 0)).sum())


def _balance(
    pair: Ints, position: Ints, shown: Floats, clicked: Floats, shape: Shape
) -> tuple[Floats, Floats, int]:
    """Clicks = expected clicks for every pair, then for every position, until both hold."""
    by_pair, by_position = sums(pair, clicked), sums(position, clicked)
    looked = np.ones(len(by_position))
    liked = np.zeros(len(by_pair))
    rounds = 0
    while rounds < ROUNDS:
        rounds += 1
        before = looked
        liked = _share(by_pair, sums(pair, shown * looked[position], len(by_pair)))
        looks = sums(position, shown * liked[pair], len(looked))
        looked = _shaped(_share(by_position, looks), looks, shape)
        looked = looked / max(float(looked.max()), _LOWEST)
        if np.abs(looked - before).max() < _TOLERANCE:
            break
    return looked, liked, rounds


def _em(
    pair: Ints,
    position: Ints,
    shown: Floats,
    clicked: Floats,
    start: tuple[Floats, Floats],
    shape: Shape,
) -> tuple[Floats, Floats, int]:
    looked, liked = (np.clip(part, _LOWEST, 1 - _LOWEST) for part in start)
    impressions = sums(position, shown, len(looked))
    of_pair = sums(pair, shown, len(liked))
    passed = shown - clicked
    rounds = 0
    while rounds < ROUNDS:
        rounds += 1
        chance, appeal = looked[position], liked[pair]
        silence = 1.0 - chance * appeal
        looks = clicked + passed * chance * (1.0 - appeal) / silence  # looked at, all in all
        liking = clicked + passed * appeal * (1.0 - chance) / silence
        before = looked
        looked = _share(sums(position, looks, len(looked)), impressions)
        looked = np.clip(_shaped(looked, impressions, shape), _LOWEST, 1 - _LOWEST)
        liked = _share(sums(pair, liking, len(liked)), of_pair)
        liked = np.clip(liked, _LOWEST, 1 - _LOWEST)
        if np.abs(looked - before).max() < _TOLERANCE:
            break
    return looked, liked, rounds


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _shaped(looked: Floats, weight: Floats, shape: Shape) -> Floats:
    if shape == "monotone":
        return falling(looked, weight)
    if shape == "power":
        return _power(looked, weight)
    return looked


def falling(values: Floats, weights: Floats) -> Floats:
    """The nearest values that never rise (isotonic regression: neighbours that rise are pooled)."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values.tolist(), np.maximum(weights, 1e-12).tolist(), strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] < pools[-1][0]:
            means, pooled, lengths = zip(*pools[-2:], strict=True)
            mean = (means[0] * pooled[0] + means[1] * pooled[1]) / sum(pooled)
            pools[-2:] = [(mean, sum(pooled), sum(lengths))]
    return np.repeat([mean for mean, _, _ in pools], [length for _, _, length in pools])


def _power(looked: Floats, weight: Floats) -> Floats:
    """looked[0] x position^-x, with x from a weighted line through the logarithms."""
    place = np.log(np.arange(1, len(looked) + 1))
    height = np.log(np.maximum(looked, _LOWEST) / max(float(looked[0]), _LOWEST))
    steep = max(
        0.0, -float((weight * place * height).sum() / max((weight * place**2).sum(), 1e-12))
    )
    curve: Floats = looked[0] * np.exp(-steep * place)
    return curve
