"""registry.py: context -> one column a signal. Adding a signal adds a function and a row here.

The same functions run in evaluation, tuning and serving.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Final

from reranker.errors import BadRequest
from reranker.runtime.budget import Left, RequestBudget, Unavailable
from reranker.signals.columns import Column, Missing
from reranker.signals.context import (
    RankingContext,
    Read,
    met_together,
    nearest_met,
    number_met,
    title_is_query,
    title_words,
)
from reranker.signals.looks import NO_VECTORS, depicts, looks
from reranker.signals.personal import (
    behaviour,
    brand_share,
    category_share,
    clicked,
    intent,
    near,
    popular,
    popularity,
    price_nearness,
    repeat,
    taste,
    together,
)
from reranker.signals.relevance import (
    availability,
    available,
    brand_is_named,
    coverage,
    engine,
    fresh,
    match,
    semantic,
    typical,
    words_elsewhere,
)

log = logging.getLogger("reranker")

Columns = dict[str, Column | Missing]


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """A named column, and what it means in one line."""

    name: str
    compute: Callable[[RankingContext], Column | Missing]
    meaning: str
    personal: bool = False  # asked only where the shopper has a history
    learned: bool = False  # asked only where a model is served
    reads: tuple[Read, ...] = ()  # what it reads of the items, each with what others read
    vectors: bool = False  # asked only where the index has vectors that no text made


SIGNALS: Mapping[str, Signal] = {
    signal.name: signal
    for signal in (
        Signal("engine", engine, "the engine's own score, or the rank where no score is sent"),
        Signal(
            "match",
            match,
            "exact title, id or model number; brand; share of query words",
            reads=(title_words, title_is_query, brand_is_named),
        ),
        Signal(
            "coverage",
            coverage,
            "share of query words anywhere in the item, and whether all",
            reads=(title_words, words_elsewhere),
        ),
        Signal(
            "available",
            available,
            "1 where the catalogue says that it can be bought",
            reads=(availability,),
        ),
        Signal("fresh", fresh, "halves with every 90 days since the item was updated"),
        Signal("semantic", semantic, "cosine of the query vector with the item vector"),
        Signal("typical", typical, "cosine with what a first pass mostly finds"),
        Signal("depicts", depicts, "how well the query fits the picture", vectors=True),
        Signal(
            "popular",
            popular,
            "how often shoppers met the item, by type of event, decayed",
            learned=True,
            reads=(popularity, number_met),
        ),
        Signal("clicked", clicked, "what others took after such a search", learned=True),
        Signal("intent", intent, "what the encoder foresees after this search", learned=True),
        Signal("behaviour", behaviour, "user vector times item vector: next", True, True),
        Signal(
            "repeat", repeat, "own earlier events with the item, as repeats go here", True, True
        ),
        Signal(
            "together",
            together,
            "met by others together with the newest met",
            True,
            True,
            (met_together, number_met),
        ),
        Signal(
            "near",
            near,
            "cosine with the nearest item of the history, whitened",
            True,
            True,
            (nearest_met,),
        ),
        Signal(
            "taste",
            taste,
            "share of brand and category in the history, its price level",
            True,
            reads=(brand_share, category_share, price_nearness),
        ),
        Signal(
            "looks",
            looks,
            "nearness to the items met by picture, sound, ..., whitened",
            personal=True,
            vectors=True,
        ),
    )
}


_OURS: Final = dict(SIGNALS)


def only_computes(name: str) -> bool:
    """Whether this signal waits for nothing but the history and the encoder. Of those of this file
    we know it; what somebody else put in their place may wait for anything."""
    return SIGNALS[name] is _OURS.get(name)


def in_order(names: Iterable[str]) -> list[str]:
    """Signals as they are always shown: those of everybody first, each half as SIGNALS has it."""
    places = {name: (one.personal, place) for place, (name, one) in enumerate(SIGNALS.items())}
    return sorted(names, key=lambda name: places.get(name, (True, len(places))))


def compute(
    context: RankingContext,
    names: Iterable[str],
    budget: RequestBudget | None = None,
    columns: Columns | None = None,
) -> Columns:
    """The columns of these signals; one that fails or comes too late is `Missing`, not an error.

    Signals not begun at the deadline are left out. Personal ones come last: a stored history that
    hangs costs no other. columns: the dict to fill, for whoever looks before all are there.
    """
    budget = budget or RequestBudget()
    columns = {} if columns is None else columns
    deadline = budget.deadline
    signals, context.together = in_turn(*(SIGNALS[name] for name in names))
    for signal in signals:
        name = signal.name
        if deadline is not None and name != "engine" and time.perf_counter() >= deadline:
            columns[name] = Missing("deadline")
            continue
        try:
            lacking = _lacking(signal, context) if signal.personal or signal.learned else None
            column = lacking or budget.call(name, signal.compute, context)
            if not isinstance(column, Missing) and len(column.values) != len(context.ids):
                raise ValueError(f"{len(column.values)} values for {len(context.ids)} candidates")
        except (BadRequest, Left):  # the caller's to mend, or nobody waits
            raise
        except Unavailable as unavailable:
            column = Missing(unavailable.reason)
        except Exception:
            log.exception("signal %s failed and was left out", name)
            column = Missing("internal_error")
        columns[name] = context.columns[name] = column
    return columns


@lru_cache(maxsize=256)
def in_turn(*signals: Signal) -> tuple[list[Signal], tuple[tuple[Read, ...], ...]]:
    """These signals, personal ones last; and what either half reads of the items, each once.

    Reads of one file stand beside each other: who follows a request turns back less.
    """
    halves = [[one for one in signals if one.personal is personal] for personal in (False, True)]
    reads = (dict.fromkeys(read for one in half for read in one.reads) for half in halves)
    by_file = (tuple(sorted(each, key=attrgetter("__module__"))) for each in reads)
    return [*halves[0], *halves[1]], tuple(by_file)


def _lacking(signal: Signal, context: RankingContext) -> Missing | None:
    """Why this signal cannot be asked."""
    if signal.vectors and not context.index.modalities:
        return NO_VECTORS
    if signal.personal and isinstance(context.history, Missing):
        return context.history
    if signal.learned and context.personal.learned is None:
        return Missing(context.personal.reason)
    return None
