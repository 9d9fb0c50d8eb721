"""trial.py: a season -> a trial of several orders, whose clicks and truth are both known.

The season's searches again, each shown in an order of its own: the engine's scores with noise. So
the same item stands at many positions, which is what a click model needs; what the shopper likes
does not depend on the order.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.demo.clicks import PAGE, attraction, examined
from service.demo.draw import streams
from service.demo.items import Floats, Ints
from service.demo.logs import Season

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


def make_trial(season: Season, searches: int, seed: int) -> Trial:
    """This many of the season's searches, in time order."""
    (rng,) = streams(seed, 1)
    steps = np.flatnonzero(season.steps.query >= 0)
    steps = np.sort(rng.choice(steps, min(searches, len(steps)), replace=False))
    steps = steps[np.argsort(season.steps.time[steps], kind="stable")]
    query = season.steps.query[steps]
    rows, scores = season.queries.rows[query, :PAGE], season.queries.scores[query, :PAGE]
    there = rows >= 0
    noise = rng.gumbel(0.0, 1.0, rows.shape) * _NOISE * scores.std(axis=1, keepdims=True)
    order = np.argsort(np.where(there, -(scores + noise), np.inf), axis=1, kind="stable")
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
