"""clicks.py: steps, answers and tastes -> Log, every event of the season, in time order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.storage.arrays import Floats, Ints
from service.demo.season.queries import Queries
from service.demo.season.steps import Steps
from service.demo.season.tastes import Tastes
from service.demo.shop.items import DAY, END, KINDS, Shop

TYPES = ("search", "view", "cart", "purchase", "cancel")
SEARCH, VIEW, CART, PURCHASE, CANCEL = range(len(TYPES))

PAGE = 24  # items on a page of results
_STROLL = 5  # most items looked at in a stroll along a shelf


@dataclass(frozen=True)
class Log:
    """Events; row and position are -1 where the event has none."""

    step: Ints
    type: Ints
    row: Ints
    position: Ints
    time: Ints

    def __len__(self) -> int:
        return len(self.step)

    def take(self, keep: NDArray[np.bool_] | Ints) -> "Log":
        return Log(
            self.step[keep], self.type[keep], self.row[keep], self.position[keep], self.time[keep]
        )


def examined(positions: Ints) -> Floats:
    """The chance that a shopper looks at a place of the page at all (position bias)."""
    chance: Floats = np.power(positions + 1.0, -0.7).astype(np.float64)
    return chance


def attraction(useful: Floats) -> Floats:
    """The chance that a shopper who looks at an item clicks it."""
    chance: Floats = 0.01 + 0.9 / (1.0 + np.exp(-9.0 * (useful - 0.6)))
    return chance


def make_log(
    rng: np.random.Generator, shop: Shop, tastes: Tastes, queries: Queries, steps: Steps
) -> Log:
    searches = np.flatnonzero(steps.query >= 0)
    strolls = np.flatnonzero(steps.query < 0)
    typed = _events(searches, SEARCH, steps.time[searches])
    seen = _clicked(rng, shop, tastes, queries, steps, searches)
    seen_too, useful_too = _strolled(rng, shop, tastes, steps, strolls)
    views = _join(seen[0], seen_too)
    bought = _bought(rng, shop, views, np.concatenate([seen[1], useful_too]))
    log = _join(typed, views, bought)
    log = log.take(log.time < END)
    order = np.lexsort((log.type, steps.person[log.step], log.time))
    return _seen_again(rng, steps, log.take(order))


def _events(step: Ints, kind: int, time: Ints, row: Ints | None = None) -> Log:
    none = np.full(len(step), -1)
    return Log(step, np.full(len(step), kind), none if row is None else row, none, time)


def _join(*logs: Log) -> Log:
    return Log(
        np.concatenate([log.step for log in logs]),
        np.concatenate([log.type for log in logs]),
        np.concatenate([log.row for log in logs]),
        np.concatenate([log.position for log in logs]),
        np.concatenate([log.time for log in logs]),
    )


def _clicked(
    rng: np.random.Generator,
    shop: Shop,
    tastes: Tastes,
    queries: Queries,
    steps: Steps,
    searches: Ints,
) -> tuple[Log, Floats]:
    """Views of search results: looked at (place) and then liked (truth, a little noise)."""
    query = steps.query[searches]
    rows = queries.rows[query, :PAGE]
    useful = tastes.utility(
        shop, steps.person[searches], steps.time[searches], rows, queries.relevance[query, :PAGE]
    )
    chance = np.where(rows >= 0, examined(np.arange(PAGE)) * attraction(useful), 0.0)
    which, place = np.nonzero(rng.random(rows.shape) < chance)
    step = searches[which]
    time = steps.time[step] + 12 + 22 * place + rng.integers(0, 20, len(step))
    views = Log(step, np.full(len(step), VIEW), rows[which, place], place, time)
    return views, useful[which, place]


def _strolled(
    rng: np.random.Generator, shop: Shop, tastes: Tastes, steps: Steps, strolls: Ints
) -> tuple[Log, Floats]:
    """Views without a search: items of the kind, those to the shopper's taste more often."""
    order = np.argsort(shop.kind, kind="stable")
    shelf = order.reshape(len(KINDS), -1)[steps.kind[strolls]]  # (strolls, items of a kind)
    person, time = steps.person[strolls], steps.time[strolls]
    liked = 1.6 * tastes.liking(shop, person, time, shelf) + rng.gumbel(0, 1, shelf.shape)
    best = np.argsort(-liked, axis=1, kind="stable")[:, :_STROLL]
    count = 1 + rng.binomial(_STROLL - 1, 0.3, len(strolls))
    which, place = np.nonzero(np.arange(best.shape[1]) < count[:, None])
    row = shelf[which, best[which, place]]
    step = strolls[which]
    useful = tastes.utility(
        shop, steps.person[step], steps.time[step], row[:, None], np.ones((len(step), 1))
    )
    moment = steps.time[step] + 60 * place + rng.integers(0, 40, len(step))
    return _events(step, VIEW, moment, row), useful[:, 0]


def _bought(rng: np.random.Generator, shop: Shop, views: Log, useful: Floats) -> Log:
    """Some views lead to the cart, some carts to a purchase, a few purchases are cancelled."""
    wanted = (rng.random(len(views)) < 0.4 * useful**2) & shop.available[views.row]
    step, row = views.step[wanted], views.row[wanted]
    time = views.time[wanted] + rng.integers(5, 25, len(step))
    paid = rng.random(len(step)) < 0.55
    paid_time = time[paid] + rng.integers(60, 240, int(paid.sum()))
    back = rng.random(int(paid.sum())) < 0.05
    back_time = paid_time[back] + rng.integers(3600, 2 * DAY, int(back.sum()))
    return _join(
        _events(step, CART, time, row),
        _events(step[paid], PURCHASE, paid_time, row[paid]),
        _events(step[paid][back], CANCEL, back_time, row[paid][back]),
    )


def _seen_again(rng: np.random.Generator, steps: Steps, log: Log) -> Log:
    """Every eighth stroll goes back to the item that the same person had looked at before."""
    views = np.flatnonzero((log.type == VIEW) & (log.position < 0))
    by_person = views[np.argsort(steps.person[log.step[views]], kind="stable")]
    same = np.append(False, np.diff(steps.person[log.step[by_person]]) == 0)
    again = same & (rng.random(len(by_person)) < 0.125)
    row = log.row.copy()
    row[by_person[again]] = log.row[by_person[np.flatnonzero(again) - 1]]
    return Log(log.step, log.type, row, log.position, log.time)
