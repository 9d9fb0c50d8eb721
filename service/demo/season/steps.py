"""steps.py: tastes and a seed -> Steps, when each person came, and what for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.storage.arrays import Floats, Ints
from service.demo.season.queries import Queries
from service.demo.season.tastes import Tastes
from service.demo.shop.brands import BRANDS
from service.demo.shop.items import DAY, DEPARTMENT_OF_KIND, END, KINDS
from service.demo.shop.vocabulary import DEPARTMENTS


@dataclass(frozen=True)
class Steps:
    """Searches and strolls, person by person and in time order within each."""

    person: Ints
    session: Ints  # counted over all people
    time: Ints
    kind: Ints
    query: Ints  # -1 where the step is a stroll along a shelf

    def __len__(self) -> int:
        return len(self.person)


def make_steps(rng: np.random.Generator, tastes: Tastes, queries: Queries) -> Steps:
    person, session, time = _visits(rng, tastes)
    kind = _kinds(rng, tastes, person, time)
    search = rng.random(len(person)) < 0.6
    query = np.where(search, _typed(rng, tastes, queries, person, time, kind), -1)
    return Steps(person, session, time, kind, query)


def _visits(rng: np.random.Generator, tastes: Tastes) -> tuple[Ints, Ints, Ints]:
    sessions = np.minimum(1 + rng.poisson(tastes.busy), 60)
    visitor = np.repeat(np.arange(len(tastes)), sessions)
    begin = _moments(rng, tastes.joined[visitor])
    order = np.lexsort((begin, visitor))
    visitor, begin = visitor[order], begin[order]
    length = 1 + rng.binomial(3, 0.25, len(visitor))
    number = np.repeat(np.arange(len(visitor)), length)
    place = np.arange(len(number)) - np.repeat(np.cumsum(length) - length, length)
    time = begin[number] + place * 900 + rng.integers(0, 120, len(number))
    return visitor[number], number, time


def _moments(rng: np.random.Generator, joined: Ints) -> Ints:
    """A time between joining and the end, by day more than by night, evenings most of all."""
    share = np.array([1, 0.5, 0.3, 0.2, 0.2, 0.5, 1.5, 3, 4, 4, 4, 4.5, 5, 4.5, 4, 4, 4.5, 5.5])
    share = np.append(share, [7, 9, 10, 9, 6, 3])
    day = joined + (rng.random(len(joined)) * (END - DAY - joined)).astype(np.int64)
    hour = rng.choice(24, len(joined), p=share / share.sum())
    moment: Ints = day - day % DAY + hour * 3600 + rng.integers(0, 3600, len(joined))
    return moment


def _kinds(rng: np.random.Generator, tastes: Tastes, person: Ints, time: Ints) -> Ints:
    """One kind per step: what goes with the last one, the last one again, or something new.

    Steps are walked through by their place in their person's row, all people at once.
    """
    begins = np.searchsorted(person, person)  # the first step of the same person
    place = np.arange(len(person)) - begins
    chance, other = rng.random(len(person)), rng.random(len(person))
    fresh = _fresh_kinds(rng, tastes, person, time)
    goes = _goes_with()
    kind = fresh.copy()
    for turn in range(1, int(place.max()) + 1):
        at = np.flatnonzero(place == turn)
        last = kind[at - 1]
        follow = goes[last, (other[at] * goes.shape[1]).astype(np.int64)]
        kind[at] = np.where(chance[at] < 0.3, last, np.where(chance[at] < 0.5, follow, fresh[at]))
    return kind


def _fresh_kinds(rng: np.random.Generator, tastes: Tastes, person: Ints, time: Ints) -> Ints:
    shares = tastes.departments[person, tastes.phase(time)]  # (steps, departments)
    drawn = rng.random((len(person), 1)) < shares.cumsum(axis=1)
    department = np.where(drawn.any(axis=1), drawn.argmax(axis=1), len(DEPARTMENTS) - 1)
    first = np.searchsorted(DEPARTMENT_OF_KIND, department)
    count = np.searchsorted(DEPARTMENT_OF_KIND, department, side="right") - first
    # Bent, so that the first kinds of a department are wanted more often than the last.
    return first + (rng.random(len(person)) ** 1.4 * count).astype(np.int64)


def _goes_with() -> Ints:
    number = {kind.name: place for place, kind in enumerate(KINDS)}
    return np.array(
        [[number[kind.goes[turn % len(kind.goes)]] for turn in range(2)] for kind in KINDS]
    )


def _typed(
    rng: np.random.Generator,
    tastes: Tastes,
    queries: Queries,
    person: Ints,
    time: Ints,
    kind: Ints,
) -> Ints:
    """A query for the kind: general words by their weights, or a liked brand with the kind."""
    total = np.append(0.0, queries.weights.cumsum())
    low, high = total[queries.first[kind]], total[queries.first[kind + 1]]
    general = np.searchsorted(total, low + rng.random(len(kind)) * (high - low), "right") - 1
    branded = _brand_query(rng, tastes, queries, person, time, kind)
    named: NDArray[np.bool_] = rng.random(len(kind)) < 0.12
    return np.where(named & (branded >= 0), branded, general)


def _brand_query(
    rng: np.random.Generator,
    tastes: Tastes,
    queries: Queries,
    person: Ints,
    time: Ints,
    kind: Ints,
) -> Ints:
    new = tastes.drift(person, time)[:, None]
    liked: Floats = (1 - new) * tastes.brands_old[person] + new * tastes.brands_new[person]
    options = queries.of_brand[kind]  # (steps, brands)
    noise = rng.gumbel(0.0, 0.4, (len(person), len(BRANDS)))
    best = np.where(options >= 0, 2.0 * liked + noise, -np.inf).argmax(axis=1)
    chosen: Ints = options[np.arange(len(person)), best]
    return chosen
