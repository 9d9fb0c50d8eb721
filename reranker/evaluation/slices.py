"""slices.py: judged requests -> the kinds of request that are also reported on their own.

Query length, digits in it, head or tail query, new or known user, length of the history, cold item.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from indexes.items.words import folded, model_numbers, words
from indexes.storage.arrays import Mask
from reranker.ranking.state import ServedState
from reranker.requests import JudgedRequest, RerankRequest
from reranker.signals.columns import Missing
from reranker.signals.context import now_of
from reranker.signals.user_history import shopper_events


class RequestFacts(msgspec.Struct, frozen=True):
    """What puts one request into its segments.

    cold: whether the served model has seen no event with one of the relevant items; None: no model.
    digits: 1 where the query has some, 2 where they are those of a model number.
    """

    words: int = 0
    history: int = 0
    cold: bool | None = None
    digits: int = 0


class Facts:
    """What the served state knows of requests: histories as the main path reads them."""

    def __init__(self, state: ServedState) -> None:
        self._personal = state.personal
        learned = state.personal.learned
        self._seen = frozenset(learned.statistics.card.item_ids) if learned else None

    def __call__(self, judged: JudgedRequest, request: RerankRequest) -> RequestFacts:
        """request: what the main path is given."""
        events = shopper_events(
            request, lambda: now_of(request.time, request.history, time.time), self._personal
        )
        relevant = (item for item, grade in judged.ratings.items() if grade > 0)
        return RequestFacts(
            words=len(words(judged.query)),
            digits=_digits(judged.query),
            history=0 if isinstance(events, Missing) else len(events),
            cold=None if self._seen is None else any(item not in self._seen for item in relevant),
        )


@dataclass
class RequestSegments:
    """Which requests are of which segment. Holds a few numbers a request."""

    _facts: list[RequestFacts] = field(default_factory=list)
    _texts: list[int] = field(default_factory=list)
    _asked: Counter[int] = field(default_factory=Counter)

    def add(self, query: str, facts: RequestFacts | None) -> None:
        """Count one request of the file; facts: None where it was left out."""
        text = folded(query)
        key = xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) if text else 0
        self._asked[key] += bool(text)
        if facts is not None:
            self._facts.append(facts)
            self._texts.append(key)

    def members(self) -> dict[tuple[str, str], Mask]:
        """Requests (n,) of each segment, by kind and name.

        A kind all of whose requests are in one segment is left out: it would repeat the total.
        """
        members: dict[tuple[str, str], Mask] = {}
        for kind, names, number in self._kinds():
            present = [place for place in range(len(names)) if np.any(number == place)]
            if len(present) > 1:
                members |= {(kind, names[place]): number == place for place in present}
        return members

    def _kinds(self) -> list[tuple[str, tuple[str, ...], npt.NDArray[np.int64]]]:
        """Each kind with its segments and the number of each request's segment (n,), -1: none."""
        kinds = [
            (kind, names, np.array([number(facts) for facts in self._facts], np.int64))
            for kind, names, number in _KINDS
        ]
        kinds.insert(2, ("query frequency", ("head query", "tail query"), self._frequency()))
        return kinds

    def _frequency(self) -> npt.NDArray[np.int64]:
        """0: asked at least as often as the query of the middle request, and more than once."""
        times = np.array([self._asked[text] for text in self._texts], np.int64)
        if not np.any(times > 1):
            return np.full(len(times), -1)
        counts = np.array(list(self._asked.values()), np.int64)
        middle = max(float(np.median(np.repeat(counts, counts))), 2)
        return np.where(times == 0, -1, np.where(times >= middle, 0, 1))


def _digits(query: str) -> int:
    if not any(map(str.isdigit, query)):
        return 0
    return 2 if model_numbers(query) else 1


def _number(bounds: tuple[int, ...], value: int) -> int:
    """How many of these lower bounds the value reaches."""
    return sum(value >= bound for bound in bounds)


_KINDS: Final[list[tuple[str, tuple[str, ...], Callable[[RequestFacts], int]]]] = [
    (
        "query length",
        ("no query", "query 1 word", "query 2-3 words", "query 4+ words"),
        lambda facts: _number((1, 2, 4), facts.words),
    ),
    (
        "query digits",
        ("query without digits", "query with digits", "model number"),
        lambda facts: facts.digits,
    ),
    ("user", ("new user", "known user"), lambda facts: int(facts.history > 0)),
    (
        "history length",
        ("history 0", "history 1", "history 2-4", "history 5+"),
        lambda facts: _number((1, 2, 5), facts.history),
    ),
    (
        "item",
        ("cold item", "seen items"),
        lambda facts: -1 if facts.cold is None else int(not facts.cold),
    ),
]
