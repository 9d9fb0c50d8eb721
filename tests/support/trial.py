"""trial.py: a season -> a trial of several orders, whose clicks and truth are both known.

The season's searches again, each shown in an order of its own: a base order with noise. So
the same item stands at many positions, which is what a click model needs; what the shopper likes
does not depend on the order.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from indexes.storage.arrays import Floats, Ints
from reranker.feedback.click_counts import sums
from reranker.feedback.off_policy import LoggedClicks
from service.demo.season.clicks import PAGE, attraction, examined
from service.demo.season.logs import Season
from service.demo.shop.draw import streams

Order = Literal["engine", "shelf"]
ORDERS: tuple[Order, ...] = ("engine", "shelf")
_NOISE = 0.35  # of the spread of a page's scores


@dataclass(frozen=True)
class Trial:
    """One row a search: the season's step, the order shown (places in the engine's page, from 0),
    what was clicked (by position shown), and the true attractiveness by place."""

    steps: Ints
    order: Ints  # (searches, PAGE)
    clicked: NDArray[np.bool_]  # (searches, PAGE)
    attractive: Floats  # (searches, PAGE)
    useful: Floats  # (searches, PAGE): the utility behind it
    there: NDArray[np.bool_]  # (searches, PAGE): fewer items were found than a page has


def make_trial(season: Season, searches: int, seed: int, by: Order) -> Trial:
    """This many of the season's searches, drawn with replacement, in time order.

    by: the order that the noise is added to. engine: its scores, which have to do with what
    shoppers like; shelf: the order of the catalogue, which has not.
    """
    (rng,) = streams(seed, 1)
    steps = rng.choice(np.flatnonzero(season.steps.query >= 0), searches)
    steps = steps[np.lexsort((steps, season.steps.time[steps]))]
    query = season.steps.query[steps]
    rows, scores = season.queries.rows[query, :PAGE], season.queries.scores[query, :PAGE]
    there = rows >= 0
    sorted_by = scores if by == "engine" else -rows.astype(np.float64)
    noise = rng.gumbel(0.0, 1.0, rows.shape) * _NOISE * sorted_by.std(axis=1, keepdims=True)
    order = np.argsort(np.where(there, -(sorted_by + noise), np.inf), axis=1, kind="stable")
    people, times = season.steps.person[steps], season.steps.time[steps]
    relevance = season.queries.relevance[query, :PAGE]
    useful = season.tastes.utility(season.shop, people, times, rows, relevance)
    attractive = np.where(there, attraction(useful), 0.0)
    chance = np.take_along_axis(attractive, order, axis=1) * examined(np.arange(PAGE))
    clicked = rng.random(order.shape) < chance
    return Trial(steps, order, clicked, attractive, useful, there)


def trial_rankings(season: Season, trial: Trial) -> list[dict[str, Any]]:
    """The trial's answers as lines of a rankings file, with plain names as a shop may have them."""
    listed = zip(trial.steps.tolist(), _shown(trial), strict=True)
    return [
        {
            "id": f"t{number + 1:06d}",
            "time": season.times_as_text(season.steps.time[[step]])[0],
            **season.identity(step),
            "query": season.queries.queries[int(season.steps.query[step])].text,
            "blend": "trial",
            "items": [season.shop.ids[row] for row in _rows(season, step)[order].tolist()],
            "order": order.tolist(),
            "scores": _scores(season, step)[: len(order)].tolist(),
        }
        for number, (step, order) in enumerate(listed)
    ]


def trial_events(season: Season, trial: Trial) -> list[dict[str, Any]]:
    """The trial's clicks as views that name their ranking, in time order."""
    events = []
    for number, (step, order) in enumerate(zip(trial.steps.tolist(), _shown(trial), strict=True)):
        for position in np.flatnonzero(trial.clicked[number]).tolist():
            time = season.steps.time[[step]] + 12 + 22 * position
            events.append(
                {
                    "type": "view",
                    "time": season.times_as_text(time)[0],
                    **season.identity(step),
                    "item": season.shop.ids[int(_rows(season, step)[order[position]])],
                    "ranking": f"t{number + 1:06d}",
                    "position": position + 1,
                }
            )
    return sorted(events, key=lambda event: str(event["time"]))


def _shown(trial: Trial) -> list[Ints]:
    return [
        order[: int(there.sum())] for order, there in zip(trial.order, trial.there, strict=True)
    ]


def _rows(season: Season, step: int) -> Ints:
    rows: Ints = season.queries.rows[int(season.steps.query[step]), :PAGE]
    return rows


def _scores(season: Season, step: int) -> Floats:
    scores: Floats = season.queries.scores[int(season.steps.query[step]), :PAGE]
    return scores


@dataclass(frozen=True)
class TrialCounts:
    """Rows of (pair, position), then what is true of each pair."""

    pair: Ints
    position: Ints
    shown: Floats
    clicked: Floats
    impressions: Floats  # by pair, as all below
    clicks: Floats
    useful: Floats
    attractive: Floats


def trial_counts(season: Season, trial: Trial) -> TrialCounts:
    """How often each (query, item) was shown and clicked at each position, and its mean truth."""
    query = season.steps.query[trial.steps]
    there = np.take_along_axis(trial.there, trial.order, axis=1)
    pair = query[:, None] * PAGE + trial.order
    position = np.broadcast_to(np.arange(PAGE), pair.shape)
    rows, inverse = np.unique((pair * PAGE + position)[there], return_inverse=True)
    shown = np.bincount(inverse).astype(np.float64)
    clicked = sums(inverse, trial.clicked[there].astype(np.float64))
    pairs, number = np.unique(rows // PAGE, return_inverse=True)
    whose = np.searchsorted(pairs, (query[:, None] * PAGE + np.arange(PAGE))[trial.there])
    impressions = sums(number, shown)
    return TrialCounts(
        pair=number,
        position=rows % PAGE,
        shown=shown,
        clicked=clicked,
        impressions=impressions,
        clicks=sums(number, clicked),
        useful=sums(whose, trial.useful[trial.there]) / impressions,
        attractive=sums(whose, trial.attractive[trial.there]) / impressions,
    )


def orders_of(season: Season, trial: Trial) -> dict[str, Ints]:
    """Other orders of the same pages: places (searches, PAGE)."""
    rng = np.random.default_rng(7)
    relevance = season.queries.relevance[season.steps.query[trial.steps], :PAGE]
    keys = {
        "the engine's order": np.broadcast_to(np.arange(PAGE), relevance.shape),
        "by true relevance": -relevance,
        "relevance, reversed": relevance,
        "shuffled": rng.random(relevance.shape),
    }
    return {
        name: np.argsort(np.where(trial.there, key, np.inf), axis=1, kind="stable")
        for name, key in keys.items()
    }


def logged_clicks(season: Season, trial: Trial, orders: dict[str, Ints]) -> LoggedClicks:
    """The trial's clicks, and where the other orders would have put their items."""
    logged = LoggedClicks()
    for number, person in enumerate(season.steps.person[trial.steps].tolist()):
        size = int(trial.there[number].sum())
        shown = [str(place) for place in trial.order[number, :size].tolist()]
        clicked = [shown[place] for place in np.flatnonzero(trial.clicked[number]).tolist()]
        listed = {name: list(map(str, order[number, :size])) for name, order in orders.items()}
        if shown:
            logged.add(person, shown, clicked, listed)
    return logged


def true_clicks(trial: Trial, order: Ints) -> float:
    """The expected clicks per search that showed anything."""
    attractive = np.take_along_axis(trial.attractive, order, axis=1)
    return float((attractive * examined(np.arange(PAGE))).sum() / trial.there.any(axis=1).sum())
