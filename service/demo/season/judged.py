"""judged.py: the last searches of some shoppers -> requests with their ratings and their truth."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from indexes.storage.arrays import Floats, Ints
from service.demo.season.clicks import Log
from service.demo.season.logs import Season
from service.demo.season.oracle import SEGMENTS, Truth, segment_of
from service.demo.shop.brands import BRANDS
from service.demo.shop.items import DAY, DEPARTMENT_OF_KIND, END, KINDS
from service.demo.shop.styles import STYLES
from service.demo.shop.vocabulary import DEPARTMENTS

_LAST_DAYS = 14
_SHARES = {"0": 0.17, "1": 0.11, "2-4": 0.17, "5+": 0.55}  # requests by length of history
_LONGEST = 100  # events of a history that are sent along
_STEPS = (0.18, 0.42, 0.68)  # utilities from which an item is rated 1, 2, 3
_FEWEST = 3  # items that are worth finding, below which a request says little


@dataclass(frozen=True)
class Held:
    """The searches that became requests: their steps, and the true utility of each candidate."""

    steps: Ints
    utility: Floats  # (requests, candidates)


def grades(utility: Floats) -> Ints:
    return np.searchsorted(_STEPS, utility, side="right")


def hold_out(rng: np.random.Generator, season: Season, count: int) -> Held:
    """At most one request per person, from the last days, with histories of every length."""
    steps, log = season.steps, season.log
    late = np.flatnonzero((steps.query >= 0) & (steps.time > END - _LAST_DAYS * DAY))
    late = late[rng.permutation(len(late))]
    utility = _utility(season, late)
    late = late[(grades(utility) > 0).sum(axis=1) >= _FEWEST]
    lengths = _history_lengths(season, log, late)
    chosen: list[int] = []
    taken: set[int] = set()
    for segment in SEGMENTS:
        for step, length in zip(late.tolist(), lengths.tolist(), strict=True):
            if len(chosen) >= round(count * _up_to(segment)):
                break
            if segment_of(length) == segment and int(steps.person[step]) not in taken:
                chosen.append(step)
                taken.add(int(steps.person[step]))
    held = np.sort(np.array(chosen))
    held = held[np.argsort(steps.time[held], kind="stable")]
    return Held(held, _utility(season, held))


def without_future(season: Season, held: Held) -> Log:
    """The log without what the requests' own shoppers did at or after their request."""
    steps, log = season.steps, season.log
    cut = np.full(len(season.tastes), END)
    cut[steps.person[held.steps]] = steps.time[held.steps]
    return log.take(log.time < cut[steps.person[log.step]])


def request_lines(season: Season, held: Held, log: Log) -> Iterator[dict[str, Any]]:
    """Requests as DESIGN describes them; `log` is the one without the future."""
    events = season.event_records(log, who=False)
    of_person = _events_of(season, held, log)
    ratings = grades(held.utility)
    for number, step in enumerate(held.steps.tolist()):
        query = int(season.steps.query[step])
        rows = season.queries.rows[query]
        candidates = [
            {"id": season.shop.ids[row], "score": score}
            for row, score in zip(rows.tolist(), season.queries.scores[query].tolist(), strict=True)
            if row >= 0
        ]
        yield {
            "id": f"r{number + 1:03d}",
            "query": season.queries.queries[query].text,
            "time": season.times_as_text(season.steps.time[[step]])[0],
            **season.identity(step),
            "history": [events[event] for event in of_person[number][-_LONGEST:]],
            "candidates": candidates,
            "ratings": {
                season.shop.ids[row]: grade
                for row, grade in zip(rows.tolist(), ratings[number].tolist(), strict=True)
                if row >= 0
            },
        }


def truth_lines(season: Season, held: Held, log: Log) -> Iterator[Truth]:
    of_person = _events_of(season, held, log)
    for number, step in enumerate(held.steps.tolist()):
        query = season.queries.queries[int(season.steps.query[step])]
        rows = season.queries.rows[int(season.steps.query[step])]
        useful = held.utility[number].round(6)
        order = [place for place in np.argsort(-useful, kind="stable") if rows[place] >= 0]
        yield Truth(
            id=f"r{number + 1:03d}",
            history=len(of_person[number]),
            intent=KINDS[query.kind].name,
            wants=dict(query.wants),
            likes=_likes(season, step),
            ranking=[season.shop.ids[rows[place]] for place in order],
            utility={
                season.shop.ids[row]: value
                for row, value in zip(rows.tolist(), useful.tolist(), strict=True)
                if row >= 0 and value > 0
            },
        )


def _up_to(segment: str) -> float:
    return sum(_SHARES[name] for name in SEGMENTS[: SEGMENTS.index(segment) + 1])


def _utility(season: Season, steps: Ints) -> Floats:
    query = season.steps.query[steps]
    utility = season.tastes.utility(
        season.shop,
        season.steps.person[steps],
        season.steps.time[steps],
        season.queries.rows[query],
        season.queries.relevance[query],
    )
    return np.where(season.queries.rows[query] >= 0, utility, 0.0)


def _history_lengths(season: Season, log: Log, steps: Ints) -> Ints:
    """Events of the same person strictly before the step."""
    span = np.int64(1 << 40)  # person and time in one sortable number
    key = np.sort(season.steps.person[log.step] * span + log.time)
    person, time = season.steps.person[steps], season.steps.time[steps]
    lengths: Ints = np.searchsorted(key, person * span + time) - np.searchsorted(key, person * span)
    return lengths


def _events_of(season: Season, held: Held, log: Log) -> list[list[int]]:
    """For each request, its shopper's events in `log`, in time order."""
    of_person: dict[int, list[int]] = {
        int(person): [] for person in season.steps.person[held.steps]
    }
    for event, person in enumerate(season.steps.person[log.step].tolist()):
        if person in of_person:
            of_person[person].append(event)
    return [of_person[int(person)] for person in season.steps.person[held.steps]]


def _likes(season: Season, step: int) -> list[str]:
    """The dearest brands of the department that was searched, and the dearest looks."""
    person, tastes = int(season.steps.person[step]), season.tastes
    new = float(tastes.drift(season.steps.person[[step]], season.steps.time[[step]])[0])
    department = DEPARTMENTS[DEPARTMENT_OF_KIND[season.steps.kind[step]]].name
    brands = (1 - new) * tastes.brands_old[person] + new * tastes.brands_new[person]
    styles = (1 - new) * tastes.styles_old[person] + new * tastes.styles_new[person]
    return [
        *[
            BRANDS[brand].name
            for brand in np.argsort(-brands, kind="stable")
            if department in BRANDS[brand].departments
        ][:3],
        *(STYLES[style].name for style in np.argsort(-styles, kind="stable")[:2]),
    ]
