"""sent_histories.py: a history sent along -> events as POST /events would have kept them."""

from collections.abc import Iterable

import msgspec

from indexes.times import TimeSettings
from reranker.errors import BadRequest
from reranker.event_cleaning import BadEvent, Cleaner, NoConsent
from reranker.events import EventSettings
from reranker.requests import Event


def cleaned_history(
    rows: Iterable[msgspec.Struct], events: EventSettings, times: TimeSettings
) -> list[Event]:
    """The events in the order in which they were sent. BadRequest names the first that is none.

    As in the histories, what comes twice with the same id and content counts once, and an event
    whose shopper does not agree not at all. One without a time keeps none: it happened with the one
    before it, see `reranker.pasts`.
    """
    cleaner = Cleaner(events, times, strict=True)
    kept: list[Event] = []
    with_id: set[Event] = set()
    for place, sent in enumerate(rows):
        row = msgspec.structs.asdict(sent)
        try:
            event = _cleaned(row, cleaner)
        except NoConsent:
            continue
        except BadEvent as error:
            at = f"history[{place}]"
            field = f"{at}.{error.field}" if error.field else at
            raise BadRequest(f"{at}: {error.message}.", field=field) from None
        if event.id is not None:
            if event in with_id:
                continue
            with_id.add(event)
        kept.append(event)
    return kept


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
