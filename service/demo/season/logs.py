"""logs.py: the seed -> Season, a shop's ninety days, with its events as DESIGN's event records."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from indexes.storage.arrays import Ints
from service.demo.season.clicks import CART, PAGE, SEARCH, TYPES, Log, make_log
from service.demo.season.queries import Queries, make_queries
from service.demo.season.steps import Steps, make_steps
from service.demo.season.tastes import Tastes, make_tastes
from service.demo.shop.draw import streams
from service.demo.shop.items import DAY, END, Shop, make_shop
from service.page.parts.engine import Engine

RANKING_DAYS = 14


@dataclass(frozen=True)
class Season:
    """Everything that happened, and why."""

    shop: Shop
    queries: Queries
    tastes: Tastes
    steps: Steps
    log: Log

    def identity(self, step: int) -> dict[str, str]:
        """Who took this step: a user in a session, or a session alone."""
        session = f"s{int(self.steps.session[step]) + 1:06d}"
        name = self.tastes.names[int(self.steps.person[step])]
        return {"user": name, "session": session} if name else {"session": session}

    def times_as_text(self, times: Ints) -> list[str]:
        text = np.datetime_as_string(times.astype("datetime64[s]"))
        return [f"{time}Z" for time in text.tolist()]

    def event_records(self, log: Log, who: bool = True) -> list[dict[str, Any]]:
        """DESIGN's event records, in the order of the log."""
        columns = (log.step, log.type, log.row, log.position)
        times = self.times_as_text(log.time)
        listed = zip(*(column.tolist() for column in columns), times, strict=True)
        return [
            {"type": TYPES[kind], "time": time}
            | (self.identity(step) if who else {})
            | self._object(step, kind, row, position)
            for step, kind, row, position, time in listed
        ]

    def ranking_records(self, log: Log) -> list[dict[str, Any]]:
        """The pages that the last weeks' searches showed, as DESIGN's rankings: engine order."""
        late = log.take((log.type == SEARCH) & (log.time >= END - RANKING_DAYS * DAY))
        times = self.times_as_text(late.time)
        return [
            {"id": f"p{number + 1:06d}", "time": time, **self.identity(step)} | self._page(step)
            for number, (step, time) in enumerate(zip(late.step.tolist(), times, strict=True))
        ]

    def _page(self, step: int) -> dict[str, Any]:
        query = int(self.steps.query[step])
        listed = self.queries.rows[query] >= 0
        rows, scores = self.queries.rows[query][listed], self.queries.scores[query][listed]
        return {
            "query": self.queries.queries[query].text,
            "blend": "engine",
            "items": [self.shop.ids[row] for row in rows[:PAGE].tolist()],
            "order": list(range(len(rows[:PAGE]))),
            "others": [self.shop.ids[row] for row in rows[PAGE:].tolist()],
            "scores": scores.tolist(),
        }

    def _object(self, step: int, kind: int, row: int, position: int) -> dict[str, Any]:
        """What an event is about: a query, or an item with where it stood and what it cost."""
        if row < 0:
            return {"query": self.queries.queries[int(self.steps.query[step])].text}
        event: dict[str, Any] = {"item": self.shop.ids[row]}
        if position >= 0:
            event["position"] = position + 1
        if kind >= CART:
            event["price"] = self.shop.facts[row].price
            event["quantity"] = 1
        return event


def make_season(
    seed: int, *, per_kind: int, users: int, visitors: int
) -> tuple[Season, np.random.Generator]:
    """The season of this seed, and the generator with which requests are held out of it."""
    items, typed, people, visits, clicks, held = streams(seed, 6)
    shop = make_shop(items, per_kind)
    engine = Engine()
    engine.add(shop.lines())
    queries = make_queries(typed, shop, engine)
    tastes = make_tastes(people, users, visitors)
    steps = make_steps(visits, tastes, queries)
    log = make_log(clicks, shop, tastes, queries, steps)
    return Season(shop, queries, tastes, steps, log), held
