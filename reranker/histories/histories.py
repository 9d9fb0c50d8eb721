"""histories.py: kept events -> one shopper's history, behind an interface with few calls."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from reranker.events.events import HistoryEvent
from reranker.pseudonyms.pseudonyms import Pseudonyms


class Appended(msgspec.Struct, kw_only=True):
    """What became of events that were handed over."""

    stored: int = 0
    duplicates: int = 0  # the same events, kept before: of the same shopper, by id and content
    conflicts: int = 0  # of the stored: their shopper has another event with the same id
    first_conflict: int | None = None  # its place in what was handed over
    merged: int = 0  # moved from a session to the user who turned out to be behind it
    trimmed: int = 0  # the oldest, which made room
    too_old: int = 0  # not kept: older than what the user's limit or the days hold


class Forgotten(msgspec.Struct, kw_only=True):
    """What was deleted."""

    events: int = 0
    sessions: int = 0
    known: bool = False


class Shopper(NamedTuple):
    """A user, or a session of which no user is known."""

    user: str | None
    session: str | None


class Recent(Protocol):
    """`Histories.recent`, of whoever needs nothing else."""

    def __call__(
        self, user: str | None, session: str | None, n: int, before: float | None, /
    ) -> list[HistoryEvent]: ...


class AtHand(Protocol):
    """`Histories.at_hand`, of whoever needs nothing else."""

    def __call__(
        self, user: str | None, session: str | None, n: int, /
    ) -> list[HistoryEvent] | None: ...


class SamePerson(Protocol):
    """`Histories.same_person`, of whoever needs nothing else."""

    def __call__(self, who: Shopper, /) -> list[Shopper]: ...


class Histories(Protocol):
    """The events of every shopper. Safe for several threads and several processes.

    Users and sessions are kept under pseudonyms; everything that takes a name takes those, too.
    A history is in the order of time, equal times in the order of arrival. Every call may raise
    HistoryFailure, and nothing else for what is wrong with the store.
    """

    def append(self, events: Sequence[HistoryEvent], keys: Sequence[int] | None = None) -> Appended:
        """Keep events; they survive a crash from the moment this returns.

        keys: what tells a shopper's events apart that have no id of their own; else each is a new
        one (events/identity.py).
        """
        ...

    def recent(
        self,
        user: str | None = None,
        session: str | None = None,
        n: int = 50,
        before: float | None = None,
    ) -> list[HistoryEvent]:
        """The newest n events, oldest first, strictly before a time; without the user's name.

        A session that was merged gives its user's history; user and session together give both.
        """
        ...

    def at_hand(
        self, user: str | None = None, session: str | None = None, n: int = 50
    ) -> list[HistoryEvent] | None:
        """What `recent` says, where it is in memory and still true, the very same list as the last
        time; None where it would have to be read. Takes some microseconds and never waits."""
        ...

    def newest_time(self) -> float | None:
        """When the newest of all kept events was; None without any. Takes longer the more shoppers
        there are (some microseconds each), and holds up no other reader."""
        ...

    def hidden(self, shopper: Shopper) -> Shopper:
        """The names under which this shopper is kept: pseudonyms."""
        ...

    def stored_as(self, who: Shopper) -> list[Shopper]:
        """The pseudonyms under which a shopper is kept, of any form in which the name came once:
        earlier releases kept some names with blanks around them."""
        ...

    def same_person(self, who: Shopper) -> list[Shopper]:
        """The pseudonyms of the user and of every session that is theirs; of a session without a
        user, and of who is not known, nothing more than they are."""
        ...

    def forget(self, user: str | None = None, session: str | None = None) -> Forgotten:
        """Delete a shopper with every trace, also on the disk."""
        ...

    def forget_old(self) -> int:
        """Delete what is older than the settings allow, also on the disk; how many events."""
        ...

    def export(self, user: str | None = None, session: str | None = None) -> Iterator[HistoryEvent]:
        """All that is kept of a shopper, oldest first."""
        ...

    def users(self) -> Iterator[str]:
        """Every user with a history, by pseudonym, which is a name as good as theirs."""
        ...

    def stream(self) -> Iterator[tuple[Shopper, list[HistoryEvent]]]:
        """Every history with its shopper's pseudonym, one in memory at a time."""
        ...

    def rename(self, names: Pseudonyms) -> int:
        """Re-key what is of an older generation; how many shoppers. Safe to be repeated."""
        ...

    def mend(self) -> None:
        """End what an earlier release, a rotation or a deletion left to be done.

        HistoryFailure where that cannot be done now.
        """
        ...

    def drop_unused(self) -> None:
        """Keep nothing in memory of shoppers who were not asked for lately."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


def visits(times: Iterable[float], gap_minutes: float) -> list[int]:
    """For each event of a history, in order, the number of its visit from 0.

    A silence longer than the gap (events.session_minutes) begins a new visit.
    """
    numbers: list[int] = []
    number, before = 0, None
    for time in times:
        if before is not None and time - before > gap_minutes * 60:
            number += 1
        numbers.append(number)
        before = time
    return numbers
