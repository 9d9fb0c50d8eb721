"""tastes.py: a seed -> Tastes, what each shopper secretly likes, and how much at a given time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.storage.arrays import Floats, Ints
from service.demo.shop.brands import BRANDS
from service.demo.shop.items import DAY, END, START, Shop
from service.demo.shop.styles import STYLES
from service.demo.shop.vocabulary import DEPARTMENTS

_PHASES = 3  # a shopper's projects: each third of the season has its own departments
_BRAND, _STYLE, _PRICE, _APPEAL = 1.5, 1.2, 2.4, 0.35  # what a liking weighs in the taste
_PATIENCE = 0.35  # what is left of the use of an item that cannot be bought


@dataclass(frozen=True)
class Tastes:
    """Row u of every array is person u. `old` turns into `new` in the weeks around `turn`."""

    names: list[str]  # a user id, or "" for a visitor who never signs in
    joined: Ints  # epoch seconds
    busy: Floats  # mean number of sessions
    brands_old: Floats  # (people, brands)
    brands_new: Floats
    styles_old: Floats  # (people, styles)
    styles_new: Floats
    turn: Ints
    price: Floats  # the price level they like, 0 to 1
    departments: Floats  # (people, phases, departments): shares

    def __len__(self) -> int:
        return len(self.names)

    def drift(self, people: Ints, times: Ints) -> Floats:
        """How far each has turned from the old taste to the new one: 0 to 1."""
        return np.clip((times - self.turn[people]) / (21 * DAY) + 0.5, 0.0, 1.0)

    def liking(self, shop: Shop, people: Ints, times: Ints, rows: Ints) -> Floats:
        """Taste for items, near 0 on average: people (n,), times (n,), rows (n, m) -> (n, m)."""
        who = people[:, None]
        new = self.drift(people, times)[:, None]
        brand, style = shop.brand[rows], shop.style[rows]
        brands = (1 - new) * self.brands_old[who, brand] + new * self.brands_new[who, brand]
        styles = (1 - new) * self.styles_old[who, style] + new * self.styles_new[who, style]
        dear = np.abs(shop.level[rows] - self.price[people][:, None])
        taste: Floats = _BRAND * brands + _STYLE * styles - _PRICE * dear
        return taste + _APPEAL * shop.appeal[rows]

    def utility(
        self, shop: Shop, people: Ints, times: Ints, rows: Ints, relevance: Floats
    ) -> Floats:
        """The truth behind every click and every rating, 0 to 1: relevance first, then taste."""
        taste = 1.0 / (1.0 + np.exp(-1.4 * (self.liking(shop, people, times, rows) + 0.1)))
        useful = relevance * (0.25 + 0.75 * taste)
        return np.where(shop.available[rows], useful, _PATIENCE * useful)

    def phase(self, times: Ints) -> Ints:
        return np.clip((times - START) * _PHASES // (END - START), 0, _PHASES - 1)


def make_tastes(rng: np.random.Generator, users: int, visitors: int) -> Tastes:
    people = users + visitors
    price = rng.beta(1.6, 1.8, people)
    styles_old, styles_new = _styles(rng, people)
    late = rng.random(people) < 0.25  # a quarter of them came in the last weeks
    span = np.where(late, 16 * DAY, 60 * DAY)
    joined = np.where(late, END - 17 * DAY, START) + (rng.random(people) * span).astype(np.int64)
    busy = np.where(late, rng.gamma(1.0, 2.0, people), rng.gamma(1.6, 6.5, people))
    return Tastes(
        names=[f"u{number + 1:04d}" for number in range(users)] + [""] * visitors,
        joined=joined,
        busy=np.where(np.arange(people) < users, busy, 0.0),
        brands_old=_brands(rng, styles_old, price),
        brands_new=_brands(rng, styles_new, price),
        styles_old=styles_old,
        styles_new=styles_new,
        turn=START + (rng.random(people) * (END - START)).astype(np.int64),
        price=price,
        departments=_departments(rng, people),
    )


def _styles(rng: np.random.Generator, people: int) -> tuple[Floats, Floats]:
    """One loved look, one liked, one disliked; two in five shoppers move on to another."""
    ranks = rng.random((people, len(STYLES))).argsort(axis=1)
    old = _by_rank(ranks)
    moved = np.where(rng.random((people, 1)) < 0.4, np.roll(ranks, 1, axis=1), ranks)
    return old, _by_rank(moved)


def _by_rank(ranks: NDArray[np.int64]) -> Floats:
    value = np.zeros(len(STYLES))
    value[[0, 1, -1]] = (1.0, 0.5, -0.7)
    return value[ranks]


def _brands(rng: np.random.Generator, styles: Floats, price: Floats) -> Floats:
    """Favourites are drawn among the brands that suit: the price level, the look."""
    looks = {style.name: number for number, style in enumerate(STYLES)}
    mine = np.array([[looks[name] for name in brand.styles] for brand in BRANDS])  # (brands, 2)
    level = np.array([brand.level for brand in BRANDS])
    fit = 1.5 * styles[:, mine].mean(axis=2) - 2.0 * np.abs(level - price[:, None])
    rank = (-(fit + rng.gumbel(0.0, 0.5, fit.shape))).argsort(axis=1).argsort(axis=1)
    favourites = 14  # of more than seventy, so about two in each department
    return np.where(rank < favourites, 1.0 - 0.03 * rank, np.where(rank > 60, -0.6, 0.0))


def _departments(rng: np.random.Generator, people: int) -> Floats:
    base = rng.gamma(0.25, 1.0, (people, 1, len(DEPARTMENTS)))
    project = rng.gamma(0.12, 1.0, (people, _PHASES, len(DEPARTMENTS)))
    mixed = base / base.sum(axis=2, keepdims=True) + project / project.sum(axis=2, keepdims=True)
    shares: Floats = 0.96 * mixed / 2.0 + 0.04 / len(DEPARTMENTS)
    return shares
