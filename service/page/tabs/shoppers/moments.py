"""moments.py: a shopper and edits of the history -> the events that count, as of one moment."""

import time
from typing import Any, Final, NamedTuple

import msgspec

from reranker.applications.carts.carts import CartLine, cart_of
from reranker.applications.churn.churn import after
from reranker.events.events import HistoryEvent
from reranker.events.settings import EventSettings
from reranker.histories.histories import visits
from reranker.requests import Event, RerankRequest
from service.page.parts.callback_values import Name
from service.page.parts.context import Page

_FIELDS: Final = ("type", "item", "query", "time", "price", "quantity")


class Edits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person changed. emptied: nothing stored counts; without: keys of stored events that do
    not count; added: events that count beside them."""

    emptied: bool = False
    without: list[str] = []
    added: list[Event] = []


class ShopperCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is set on the tab. user: "" for a new shopper."""

    user: Name = ""
    edits: Edits | None = None


class Moment(NamedTuple):
    """A shopper at one moment.

    events: those that count, oldest first. stored: keys of those that are kept. added, taken: how
    many were added to those, and taken away. now: epoch seconds,
    right after the newest event of all shoppers and of this one. cut: whether older events are
    kept than are read here.
    """

    user: str
    events: list[HistoryEvent]
    stored: frozenset[str]
    added: int
    taken: int
    now: float
    cut: bool
    session_minutes: float

    @property
    def edited(self) -> bool:
        """Whether the events are others than those that are kept."""
        return bool(self.added or self.taken)

    def visits(self) -> list[int]:
        """For each event the number of its visit, from 0."""
        return visits((event.time for event in self.events), self.session_minutes)

    def cart(self) -> list[CartLine]:
        """What the newest visit left in the cart."""
        numbers = self.visits()
        return cart_of(
            event
            for event, number in zip(self.events, numbers, strict=True)
            if number == numbers[-1]
        )

    def shopper(self) -> dict[str, Any]:
        """The shopper as a request's body has it: by name, or by the edited history."""
        if not self.edited:
            return {"user": self.user or None}
        return {"history": [_plain(event) for event in self.events]}


def moment_of(case: ShopperCase, page: Page) -> Moment:
    """Read what is kept, and edit it. Failure where the histories cannot be read."""
    most = page.limits.history
    kept = page.served.histories.recent(case.user, None, most + 1) if case.user else []
    cut, kept = len(kept) > most, kept[-most:] if most else []
    edits = case.edits or Edits()
    without = set(edits.without)
    events = [] if edits.emptied else [event for event in kept if key_of(event) not in without]
    left, times = len(events), [event.time for event in kept]
    newest = max([page.applications.churn.newest() or 0.0, *times[-1:]]) or time.time()
    if edits.added:
        events = sorted([*events, *_added(edits.added, newest, page)], key=lambda each: each.time)
        events = events[-most:]
    return Moment(
        user=case.user,
        events=events,
        stored=frozenset(key_of(event) for event in kept),
        added=len(edits.added),
        taken=len(kept) - left,
        now=after(newest),
        cut=cut,
        session_minutes=page.workspace.section(EventSettings).session_minutes,
    )


def _added(added: list[Event], newest: float, page: Page) -> list[HistoryEvent]:
    """Checked as those of a request are; none is later than the moment."""
    checked = page.reader.checked(RerankRequest([], history=added)).history or []
    return [
        HistoryEvent(
            type=event.type,
            item=event.item,
            query=event.query,
            time=min(newest if event.time is None else float(event.time), newest),
            price=event.price,
            quantity=event.quantity,
        )
        for event in checked
    ]


def key_of(event: HistoryEvent) -> str:
    """What tells an event from a shopper's others, in an address, too."""
    return f"{event.time:.3f} {event.type} {event.item or event.query or ''}"


def _plain(event: HistoryEvent) -> dict[str, Any]:
    named = ((name, getattr(event, name)) for name in _FIELDS)
    return {name: value for name, value in named if value is not None}
