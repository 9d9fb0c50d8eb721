"""segments.py: rules on a request -> the weights that count for it, in place of the blend's own."""

from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec
import numpy as np

from indexes.items.columns import category_paths
from indexes.items.words import word_hash
from reranker.blends.gate import Gate, Weight
from reranker.errors import BadBlend
from reranker.signals.columns import Missing
from reranker.signals.context import RankingContext

_TOP = 10  # candidates that say which department a search is about
Count = Annotated[int, msgspec.Meta(ge=0)]


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All of what is given has to hold.

    departments: category paths such as "Audio > Headphones"; one of them holds for at least half
    of the first 10 candidates. known_user: whether anything counts of what the shopper did.
    attributes: of the user, each with values of which it has one; they hold for known users alone,
    so that who has no history gets the unpersonalised ranking.
    """

    min_query_words: Count | None = None
    max_query_words: Count | None = None
    min_history: Count | None = None
    max_history: Count | None = None
    known_user: bool | None = None
    departments: list[str] = []
    attributes: dict[str, list[bool | int | float | str]] = {}


class Segment(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """weights: of the signals that count otherwise here. gate: in place of the blend's."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    when: When
    weights: dict[str, Weight]
    gate: Gate | None = None


def segment_of(segments: list[Segment], context: RankingContext) -> Segment | None:
    """The first segment whose rule holds."""
    return next((segment for segment in segments if _holds(segment.when, context)), None)


def check_segments(segments: list[Segment], signals: set[str]) -> None:
    """BadBlend for a rule that says nothing, a name given twice, or a signal not in the blend."""
    names = [segment.name for segment in segments]
    for place, segment in enumerate(segments):
        where = f"segments[{place}]"
        if names.index(segment.name) != place:
            raise BadBlend(
                f"{where}.name is {segment.name!r} a second time.", field=f"{where}.name"
            )
        if segment.when == When():
            raise BadBlend(
                f"{where}.when is empty; the blend's own weights are the fallback.",
                field=f"{where}.when",
            )
        for name in segment.weights:
            if name not in signals:
                raise BadBlend(
                    f"{where}.weights names {name!r}, which the blend does not weigh; "
                    f"it weighs {', '.join(sorted(signals))}.",
                    field=f"{where}.weights.{name}",
                )


def _holds(when: When, context: RankingContext) -> bool:
    history = context.history
    events = 0 if isinstance(history, Missing) else len(history.events)
    return (
        _within(len(context.query_words), when.min_query_words, when.max_query_words)
        and _within(events, when.min_history, when.max_history)
        and when.known_user in (None, events > 0)
        and (not when.departments or _about(when.departments, context))
        and (not when.attributes or (events > 0 and _is_such(when.attributes, context)))
    )


def _is_such(wanted: Mapping[str, Collection[object]], context: RankingContext) -> bool:
    """Whether the user has one of these values of every attribute."""
    known = context.attributes
    for name, values in wanted.items():
        value = known.get(name)
        listed = value if isinstance(value, list) else [value]
        if not any(part in values for part in listed):
            return False
    return True


def _within(count: int, least: int | None, most: int | None) -> bool:
    return (least is None or count >= least) and (most is None or count <= most)


def _about(departments: list[str], context: RankingContext) -> bool:
    rows = context.rows[:_TOP]
    rows = rows[rows >= 0]
    levels, owner = context.index.columns.categories.gather(rows)
    return any(
        2 * len(np.unique(owner[levels == np.uint32(_level(name))])) >= len(rows) > 0
        for name in departments
    )


def _level(department: str) -> int:
    """The hash that the index keeps of a category path."""
    return word_hash(max(category_paths(department), key=len, default=""))
