"""writes.py: events -> rows of the histories, within one transaction.

The rows do not depend on the order in which events arrive: a session belongs to the user of its
earliest event that names both, and of a full history the oldest events go.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.files import mark_to_erase
from reranker.histories.histories import Appended, Forgotten
from reranker.histories.names import rename_all
from reranker.histories.reads import cutoff
from reranker.histories.stored_keys import stored_ids, stored_keys
from reranker.histories.write_counts import EVERYBODY, bucket
from reranker.pseudonyms.pseudonyms import Pseudonyms

_encode: Final = msgspec.msgpack.Encoder().encode
_AT_ONCE: Final = 500  # numbers in one statement


class _Row(NamedTuple):
    shopper: int
    time: float
    seq: int
    key: int
    origin: int | None
    payload: bytes


class _New(NamedTuple):
    """An event, its key, and its place in what was handed over."""

    event: HistoryEvent
    key: int
    place: int


class _Owner(NamedTuple):
    """Whose history gets the events, and of a session without a user the session's number."""

    shopper: int
    origin: int | None


_Pair = tuple[str | None, str | None]  # user and session


class Write:
    """One transaction that has begun; its opener commits."""

    def __init__(
        self, db: sqlite3.Connection, settings: HistorySettings, names: Pseudonyms
    ) -> None:
        self._db, self._names = db, names
        self._most = settings.events_per_user
        self._cutoff = cutoff(settings)
        self._gained: set[int] = set()  # users to whom a session came with what is appended
        self._touched: set[int] = set()  # shoppers whose histories are changed
        self._named: set[tuple[bool, str]] = set()  # the same, by name
        self._everybody = False

    def append(self, events: Sequence[HistoryEvent], keys: Sequence[int]) -> Appended:
        """Add what is new."""
        appended = Appended()
        self._gained.clear()
        incoming = self._not_stored(self._in_time(events, keys, appended), appended)
        if not incoming:
            return appended
        owners = self._owners([new.event for new in incoming], appended)
        by_shopper = self._by_shopper(incoming, owners, appended)
        first = self._take_numbers(len(incoming))
        for shopper, numbered in by_shopper.items():
            rows = [
                _Row(
                    *(shopper, new.event.time, first + order, new.key),
                    *(owners[new.event.user, new.event.session].origin, _payload(new.event)),
                )
                for order, new in numbered
            ]
            self._insert(shopper, rows, appended)
        return appended

    def buckets(self) -> Collection[int]:
        """Of all whose histories this transaction changes; see write_counts.py."""
        if self._everybody:
            return EVERYBODY
        named, touched = set(self._named), list(self._touched)
        for start in range(0, len(touched), _AT_ONCE):
            some = touched[start : start + _AT_ONCE]
            query = f"SELECT is_user, name FROM shoppers WHERE id IN ({','.join('?' * len(some))})"
            named.update((bool(is_user), name) for is_user, name in self._db.execute(query, some))
        return {bucket(is_user, name) for is_user, name in named}

    def _in_time(
        self, events: Sequence[HistoryEvent], keys: Sequence[int], appended: Appended
    ) -> list[_New]:
        """The events that are not too old, under pseudonyms, with their keys and places."""
        names = self._names
        incoming = []
        for place, (event, key) in enumerate(zip(names.hidden(events), keys, strict=True)):
            if event.time < self._cutoff:
                appended.too_old += 1
            else:
                keyed = names.event(key, has_id=event.id is not None)
                incoming.append(_New(event, keyed, place))
        return incoming

    def _not_stored(self, incoming: list[_New], appended: Appended) -> list[_New]:
        """Those that the histories as they are do not hold; what is held changes nothing."""
        by_pair: defaultdict[_Pair, list[_New]] = defaultdict(list)
        for new in incoming:
            by_pair[new.event.user, new.event.session].append(new)
        held: set[int] = set()
        for pair, of_pair in by_pair.items():
            stored = stored_keys(self._db, self._place(*pair), [new.key for new in of_pair])
            held.update(new.place for new in of_pair if new.key in stored)
        appended.duplicates += len(held)
        return [new for new in incoming if new.place not in held] if held else incoming

    def _place(self, user: str | None, session: str | None) -> int | None:
        """Whose history has the events of a user, or of a session; None where nobody has one."""
        query = "SELECT coalesce(owner, id) FROM shoppers WHERE is_user = ? AND name = ?"
        shopper = user is not None, session if user is None else user
        row = self._db.execute(query, shopper).fetchone()
        return None if row is None else int(row[0])

    def _by_shopper(
        self, incoming: list[_New], owners: Mapping[_Pair, _Owner], appended: Appended
    ) -> dict[int, list[tuple[int, _New]]]:
        """The new events of each shopper with their numbers in the order of arrival.

        Looked at once more are those of shoppers to whom a session came just now, with its events.
        """
        by_shopper: defaultdict[int, list[tuple[int, _New]]] = defaultdict(list)
        for order, new in enumerate(incoming):
            by_shopper[owners[new.event.user, new.event.session].shopper].append((order, new))
        for shopper, own in by_shopper.items():
            keys = [new.key for _, new in own]
            stored = stored_keys(self._db, shopper, keys) if shopper in self._gained else set()
            by_shopper[shopper] = self._each_once(shopper, own, stored, appended)
        return by_shopper

    def _each_once(
        self, shopper: int, numbered: list[tuple[int, _New]], stored: set[int], appended: Appended
    ) -> list[tuple[int, _New]]:
        """Each event once; those whose id another event has are counted, and stay."""
        ids = {new.event.id: new.key for _, new in numbered if new.event.id is not None}
        taken = stored_ids(self._db, shopper, ids)
        once = []
        for order, new in numbered:
            if new.key in stored:
                appended.duplicates += 1
                continue
            stored.add(new.key)
            once.append((order, new))
            name = new.event.id
            if name is None:
                continue
            if name in taken:
                appended.conflicts += 1
                if appended.first_conflict is None or new.place < appended.first_conflict:
                    appended.first_conflict = new.place
            taken.add(name)
        return once

    def _owners(self, events: Sequence[HistoryEvent], appended: Appended) -> dict[_Pair, _Owner]:
        """For each (user, session): the shopper who gets the events, and the session's number.

        The number is only there for events without a user: they move when the session is merged.
        """
        earliest: dict[_Pair, float] = {}
        for event in events:
            pair = event.user, event.session
            earliest[pair] = min(event.time, earliest.get(pair, event.time))
        for (user, session), time in earliest.items():
            if user is not None and session is not None:
                appended.merged += self._own(session, self._shopper(True, user), time)
        owners: dict[_Pair, _Owner] = {}
        for user, session in earliest:
            names = (True, user), (False, session)
            self._named.update((is_user, name) for is_user, name in names if name is not None)
            if user is not None:
                owners[user, session] = _Owner(self._shopper(True, user), None)
            elif session is not None:
                number = self._shopper(False, session)
                owner, _ = self._owner(number)
                owners[user, session] = _Owner(number if owner is None else owner, number)
        return owners

    def _own(self, session: str, user: int, since: float) -> int:
        """Let a session belong to a user unless an earlier event said otherwise."""
        number = self._shopper(False, session)
        owner, owned_since = self._owner(number)
        if owner is not None and owned_since <= since:
            return 0
        self._db.execute(
            "UPDATE shoppers SET owner = ?, owned_since = ? WHERE id = ?", (user, since, number)
        )
        self._gained.add(user)
        if owner == user:
            return 0
        # What the user has already, from an event that named them, is not there a second time.
        twice = self._db.execute(
            "DELETE FROM events WHERE origin = ? AND EXISTS (SELECT 1 FROM events AS kept "
            "WHERE kept.shopper = ? AND kept.key = events.key)",
            (number, user),
        ).rowcount
        moved = self._db.execute(
            "UPDATE events SET shopper = ? WHERE origin = ?", (user, number)
        ).rowcount
        if moved or twice:
            self._count(number if owner is None else owner, -moved - twice)
            self._count(user, moved)
            self._trim(user)
        return moved

    def _shopper(self, is_user: bool, name: str) -> int:
        """The number of a user or session, a new one if need be."""
        shopper = is_user, name
        query = "SELECT id FROM shoppers WHERE is_user = ? AND name = ?"
        row = self._db.execute(query, shopper).fetchone()
        if row is None:
            added = "INSERT INTO shoppers (is_user, name) VALUES (?, ?) RETURNING id"
            row = self._db.execute(added, shopper).fetchone()
        return int(row[0])

    def _owner(self, session: int) -> tuple[int | None, float]:
        query = "SELECT owner, owned_since FROM shoppers WHERE id = ?"
        owner, since = self._db.execute(query, (session,)).fetchone()
        return owner, since if since is not None else 0.0

    def _take_numbers(self, count: int) -> int:
        """The first of so many numbers in the order of arrival."""
        query = "UPDATE counter SET seq = seq + ? RETURNING seq"
        return int(self._db.execute(query, (count,)).fetchone()[0]) - count

    def _insert(self, shopper: int, rows: list[_Row], appended: Appended) -> None:
        """Add rows of one shopper; those that a full history has let go of stay out."""
        query = "SELECT events FROM shoppers WHERE id = ?"
        if self._db.execute(query, (shopper,)).fetchone()[0] >= self._most:
            first = "SELECT min(time) FROM events WHERE shopper = ?"
            oldest = self._db.execute(first, (shopper,)).fetchone()[0]
            newer = [row for row in rows if row.time > oldest]
            appended.too_old += len(rows) - len(newer)
            rows = newer
        self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._count(shopper, len(rows))
        appended.stored += len(rows)
        if self._cutoff > 0:
            self._count(shopper, -self._delete_old(shopper))
        appended.trimmed += self._trim(shopper)

    def _delete_old(self, shopper: int) -> int:
        old = "DELETE FROM events WHERE shopper = ? AND time < ?"
        return self._db.execute(old, (shopper, self._cutoff)).rowcount

    def _trim(self, shopper: int) -> int:
        """Delete the oldest events above the limit."""
        query = "SELECT events FROM shoppers WHERE id = ?"
        above = int(self._db.execute(query, (shopper,)).fetchone()[0]) - self._most
        if above <= 0:
            return 0
        last = self._db.execute(
            "SELECT time, seq FROM events WHERE shopper = ? ORDER BY time, seq LIMIT 1 OFFSET ?",
            (shopper, above - 1),
        ).fetchone()
        deleted = self._db.execute(
            "DELETE FROM events WHERE shopper = ? AND (time, seq) <= (?, ?)", (shopper, *last)
        ).rowcount
        self._count(shopper, -deleted)
        return deleted

    def _count(self, shopper: int, more: int) -> None:
        self._touched.add(shopper)
        self._db.execute("UPDATE shoppers SET events = events + ? WHERE id = ?", (more, shopper))

    def rename(self, names: Pseudonyms) -> int:
        """Re-key everything; how many shoppers. 0 where it is of this generation already."""
        since = self._names.generation
        self._everybody = True
        return rename_all(self._db, names, since) if since < names.generation else 0

    def delete_before(self, cutoff: float) -> int:
        """Delete every event before this time, and shoppers of whom nothing is left."""
        self._everybody = True
        deleted = self._db.execute("DELETE FROM events WHERE time < ?", (cutoff,)).rowcount
        if deleted:
            mark_to_erase(self._db, True)
        self._db.execute(
            "UPDATE shoppers SET events = "
            "(SELECT count(*) FROM events WHERE events.shopper = shoppers.id)"
        )
        # Sessions of users of whom nothing is left, and those that only old events spoke of.
        self._db.execute(
            "DELETE FROM shoppers WHERE owner IN (SELECT id FROM shoppers WHERE events = 0) "
            "OR (owned_since BETWEEN 0 AND ? AND id NOT IN "
            "(SELECT origin FROM events WHERE origin IS NOT NULL))",
            (cutoff,),
        )
        self._db.execute("DELETE FROM shoppers WHERE events = 0 AND owner IS NULL")
        return deleted

    def forget(self, is_user: bool, name: str) -> Forgotten:
        """Delete a user with the sessions that are theirs, or a session with its own events."""
        self._everybody = True
        name = self._names.user(name) if is_user else self._names.session(name)
        query = "SELECT id FROM shoppers WHERE is_user = ? AND name = ?"
        row = self._db.execute(query, (is_user, name)).fetchone()
        if row is None:
            return Forgotten()
        mark_to_erase(self._db, True)
        sessions = [(row[0],)] if not is_user else self._sessions(row[0])
        deleted = self._delete("DELETE FROM events WHERE shopper = ?", [row])
        for session in sessions:
            deleted += self._forget_events_of(session[0])
        self._delete("DELETE FROM shoppers WHERE id = ?", [row, *sessions])
        return Forgotten(events=deleted, sessions=len(sessions), known=True)

    def _sessions(self, user: int) -> list[tuple[int]]:
        return self._db.execute("SELECT id FROM shoppers WHERE owner = ?", (user,)).fetchall()

    def _forget_events_of(self, session: int) -> int:
        """A session's events without a user; they may have been moved to one."""
        owner, _ = self._owner(session)
        deleted = self._delete("DELETE FROM events WHERE origin = ?", [(session,)])
        if owner is not None:
            self._count(owner, -deleted)
        return deleted

    def _delete(self, statement: str, rows: Iterable[tuple[int]]) -> int:
        return sum(self._db.execute(statement, row).rowcount for row in rows)


def _payload(event: HistoryEvent) -> bytes:
    """The event without its user, whose name stands with the shopper, once."""
    return _encode(event if event.user is None else msgspec.structs.replace(event, user=None))
