"""sent_histories.py: a history sent along -> events as POST /events would have kept them."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from indexes.times import TimeSettings
from reranker.errors import BadRequest
from reranker.events.cleaning import BadEvent, Cleaner, NoConsent
from reranker.events.settings import EventSettings
from reranker.requests import Event

_ANY_TYPE: Final = "view"


class CleanedHistory(NamedTuple):
    """The events that count. unknown_types: how many were left out, their type being none of the
    shop's; cut: how many queries were shortened."""

    events: list[Event]
    unknown_types: int
    cut: int


def cleaned_history(
    rows: Iterable[msgspec.Struct], events: EventSettings, times: TimeSettings, query_chars: int
) -> CleanedHistory:
    """The events in the order in which they were sent. BadRequest names the first that is none.

    As in the histories, what comes twice with the same id and content counts once, and an event
    whose shopper does not agree not at all. One without a time keeps none: it happened with the one
    before it, see `reranker.signals.user_history`. query_chars: of a longer query the beginning
    counts.
    """
    cleaner = Cleaner(events, times, strict=True)
    kept: list[Event] = []
    with_id: set[Event] = set()
    unknown_types = cut = 0
    for place, sent in enumerate(rows):
        row = msgspec.structs.asdict(sent)
        cut += _shortened(row, query_chars)
        try:
            event = _cleaned(row, cleaner)
        except NoConsent:
            continue
        except BadEvent as error:
            if error.field != "type" or not row["type"]:
                raise _refused(place, error) from None
            _check_the_rest(row, cleaner, place)
            unknown_types += 1
            continue
        if event.id is not None:
            if event in with_id:
                continue
            with_id.add(event)
        kept.append(event)
    return CleanedHistory(kept, unknown_types, cut)


def _refused(place: int, error: BadEvent) -> BadRequest:
    at = f"history[{place}]"
    return BadRequest(f"{at}: {error.message}.", field=f"{at}.{error.field}" if error.field else at)


def _check_the_rest(row: dict[str, Any], cleaner: Cleaner, place: int) -> None:
    """An event of an unknown type keeps to the format as the others do, but may be of no item."""
    try:
        cleaner.clean_sent(row | {"type": _ANY_TYPE}, 0.0)
    except NoConsent:
        pass
    except BadEvent as error:
        if error.field != "item" or row["item"] or row["query"]:
            raise _refused(place, error) from None


def _shortened(row: dict[str, Any], most: int) -> bool:
    query = row["query"]
    too_long = isinstance(query, str) and len(query) > most
    if too_long:
        row["query"] = query[:most]
    return too_long


def _cleaned(row: dict[str, object], cleaner: Cleaner) -> Event:
    clean = cleaner.clean_sent(row, 0.0)
    return Event(
        type=clean.type,
        item=clean.item,
        query=clean.query,
        time=clean.time if row["time"] not in (None, "") else None,
        price=clean.price,
        quantity=clean.quantity,
        id=clean.id,
        user=clean.user,
        session=clean.session,
        ranking=clean.ranking,
        position=clean.position,
    )
