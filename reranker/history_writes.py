"""history_writes.py: events -> rows of the histories, within one transaction.

The rows do not depend on the order in which events arrive: a session belongs to the user of its
earliest event that names both, and of a full history the oldest events go.
"""

import secrets
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import xxhash

from reranker.events import HistoryEvent, HistorySettings
from reranker.histories import Appended, Forgotten
from reranker.history_names import mark_to_erase, rename_all
from reranker.pseudonyms import Pseudonyms

_encode: Final = msgspec.msgpack.Encoder().encode


def event_key(event: HistoryEvent) -> int:
    """63 bits by which an event is known again; without an id every event is a new one."""
    if event.id is None:
        return secrets.randbits(63)
    return int(xxhash.xxh3_64_intdigest(b"id\0" + event.id.encode("utf-8", "surrogatepass"))) >> 1


class _Row(NamedTuple):
    shopper: int
    time: float
    seq: int
    key: int
    origin: int | None
    payload: bytes


class Write:
    """One transaction that has begun; its opener commits."""

    def __init__(
        self, db: sqlite3.Connection, settings: HistorySettings, names: Pseudonyms
    ) -> None:
        self._db, self._names = db, names
        self._most = settings.events_per_user
        self._cutoff = settings.cutoff()

    def append(self, events: Sequence[HistoryEvent], keys: Sequence[int]) -> Appended:
        """Add what is new."""
        done = Appended()
        names = self._names
        new = self._new(names.hidden(events), map(names.event, keys), done)
        if not new:
            return done
        owners = self._owners([event for event, _ in new], done)
        by_shopper: defaultdict[int, list[_Row]] = defaultdict(list)
        first = self._take_numbers(len(new))
        for seq, (event, key) in enumerate(new, first):
            shopper, origin = owners[event.user, event.session]
            row = _Row(shopper, event.time, seq, key, origin, _payload(event))
            by_shopper[shopper].append(row)
        for shopper, rows in by_shopper.items():
            self._insert(shopper, rows, done)
        return done

    def _new(
        self, events: Iterable[HistoryEvent], made: Iterable[int], done: Appended
    ) -> list[tuple[HistoryEvent, int]]:
        """The events that are not kept yet, each once, with their keys."""
        keys = list(made)
        there = "SELECT key FROM events WHERE key IN (SELECT value FROM json_each(?))"
        known = {key for (key,) in self._db.execute(there, (msgspec.json.encode(keys).decode(),))}
        new = []
        for event, key in zip(events, keys, strict=True):
            if key in known:
                done.duplicates += 1
            elif event.time < self._cutoff:
                done.too_old += 1
            else:
                known.add(key)
                new.append((event, key))
        return new

    def _owners(
        self, events: Sequence[HistoryEvent], done: Appended
    ) -> dict[tuple[str | None, str | None], tuple[int, int | None]]:
        """For each (user, session): the shopper who gets the events, and the session's number.

        The number is only there for events without a user: they move when the session is merged.
        """
        earliest: dict[tuple[str | None, str | None], float] = {}
        for event in events:
            pair = event.user, event.session
            earliest[pair] = min(event.time, earliest.get(pair, event.time))
        for (user, session), time in earliest.items():
            if user is not None and session is not None:
                done.merged += self._own(session, self._shopper(True, user), time)
        found: dict[tuple[str | None, str | None], tuple[int, int | None]] = {}
        for user, session in earliest:
            if user is not None:
                found[user, session] = self._shopper(True, user), None
            elif session is not None:
                number = self._shopper(False, session)
                owner, _ = self._owner(number)
                found[user, session] = number if owner is None else owner, number
        return found

    def _own(self, session: str, user: int, since: float) -> int:
        """Let a session belong to a user unless an earlier event said otherwise."""
        number = self._shopper(False, session)
        owner, owned_since = self._owner(number)
        if owner is not None and owned_since <= since:
            return 0
        self._db.execute(
            "UPDATE shoppers SET owner = ?, owned_since = ? WHERE id = ?", (user, since, number)
        )
        if owner == user:
            return 0
        moved = self._db.execute(
            "UPDATE events SET shopper = ? WHERE origin = ?", (user, number)
        ).rowcount
        if moved:
            self._count(number if owner is None else owner, -moved)
            self._count(user, moved)
            self._trim(user)
        return moved

    def _shopper(self, is_user: bool, name: str) -> int:
        """The number of a user or session, a new one if need be."""
        asked = is_user, name
        query = "SELECT id FROM shoppers WHERE is_user = ? AND name = ?"
        row = self._db.execute(query, asked).fetchone()
        if row is None:
            added = "INSERT INTO shoppers (is_user, name) VALUES (?, ?) RETURNING id"
            row = self._db.execute(added, asked).fetchone()
        return int(row[0])

    def _owner(self, session: int) -> tuple[int | None, float]:
        query = "SELECT owner, owned_since FROM shoppers WHERE id = ?"
        owner, since = self._db.execute(query, (session,)).fetchone()
        return owner, since if since is not None else 0.0

    def _take_numbers(self, count: int) -> int:
        """The first of so many numbers in the order of arrival."""
        query = "UPDATE counter SET seq = seq + ? RETURNING seq"
        return int(self._db.execute(query, (count,)).fetchone()[0]) - count

    def _insert(self, shopper: int, rows: list[_Row], done: Appended) -> None:
        """Add rows of one shopper; those that a full history has let go of stay out."""
        query = "SELECT events FROM shoppers WHERE id = ?"
        if self._db.execute(query, (shopper,)).fetchone()[0] >= self._most:
            first = "SELECT min(time) FROM events WHERE shopper = ?"
            oldest = self._db.execute(first, (shopper,)).fetchone()[0]
            kept = [row for row in rows if row.time > oldest]
            done.too_old += len(rows) - len(kept)
            rows = kept
        self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._count(shopper, len(rows))
        done.stored += len(rows)
        if self._cutoff > 0:
            self._count(shopper, -self._delete_old(shopper))
        done.trimmed += self._trim(shopper)

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
        gone = self._db.execute(
            "DELETE FROM events WHERE shopper = ? AND (time, seq) <= (?, ?)", (shopper, *last)
        ).rowcount
        self._count(shopper, -gone)
        return gone

    def _count(self, shopper: int, more: int) -> None:
        self._db.execute("UPDATE shoppers SET events = events + ? WHERE id = ?", (more, shopper))

    def rename(self, names: Pseudonyms) -> int:
        """Re-key everything; how many shoppers. 0 where it is of this generation already."""
        since = self._names.generation
        return rename_all(self._db, names, since) if since < names.generation else 0

    def delete_before(self, cutoff: float) -> int:
        """Delete every event before this time, and shoppers of whom nothing is left."""
        gone = self._db.execute("DELETE FROM events WHERE time < ?", (cutoff,)).rowcount
        if gone:
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
        return gone

    def forget(self, is_user: bool, name: str) -> Forgotten:
        """Delete a user with the sessions that are theirs, or a session with its own events."""
        name = self._names.user(name) if is_user else self._names.session(name)
        query = "SELECT id FROM shoppers WHERE is_user = ? AND name = ?"
        row = self._db.execute(query, (is_user, name)).fetchone()
        if row is None:
            return Forgotten()
        mark_to_erase(self._db, True)
        sessions = [(row[0],)] if not is_user else self._sessions(row[0])
        gone = self._delete("DELETE FROM events WHERE shopper = ?", [row])
        for session in sessions:
            gone += self._forget_events_of(session[0])
        self._delete("DELETE FROM shoppers WHERE id = ?", [row, *sessions])
        return Forgotten(events=gone, sessions=len(sessions), known=True)

    def _sessions(self, user: int) -> list[tuple[int]]:
        return self._db.execute("SELECT id FROM shoppers WHERE owner = ?", (user,)).fetchall()

    def _forget_events_of(self, session: int) -> int:
        """A session's events without a user; they may have been moved to one."""
        owner, _ = self._owner(session)
        gone = self._delete("DELETE FROM events WHERE origin = ?", [(session,)])
        if owner is not None:
            self._count(owner, -gone)
        return gone

    def _delete(self, statement: str, rows: Iterable[tuple[int]]) -> int:
        return sum(self._db.execute(statement, row).rowcount for row in rows)


def _payload(event: HistoryEvent) -> bytes:
    """The event without its user, whose name stands with the shopper, once."""
    return _encode(event if event.user is None else msgspec.structs.replace(event, user=None))
