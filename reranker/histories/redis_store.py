"""redis_store.py: events -> a Redis, or a cluster; erased, renamed and mended in it.

What a file does in one step takes several here: each can be repeated, and what was begun is noted
before, so that the next process that opens the histories ends it.
"""

import math
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from reranker.events.events import HistoryEvent
from reranker.events.identity import event_key
from reranker.events.settings import HistorySettings
from reranker.histories.histories import Appended, Forgotten, Shopper
from reranker.histories.reads import cutoff
from reranker.histories.redis_erasing import erase_on_every_node
from reranker.histories.redis_nodes import Command, StoreUrl
from reranker.histories.redis_reads import NAMES_SECONDS, RedisReader, hidden
from reranker.histories.redis_rows import Row, Tag, row_of, written
from reranker.histories.redis_writes import RedisWriter
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.pseudonyms.pseudonyms import Pseudonyms, generation_of

_SETTLE: Final = 1.5  # times the seconds by when who writes under older names must have ended


class RedisHistories(RedisReader):
    """Histories of one home, or of many that share its keys, in a Redis."""

    def __init__(self, url: StoreUrl, settings: HistorySettings, keys: PseudonymKeys) -> None:
        super().__init__(url, settings, keys)
        self.writer = RedisWriter(self._nodes, self.names_of, settings)

    def append(self, events: Sequence[HistoryEvent], keys: Sequence[int] | None = None) -> Appended:
        """See Histories. On the disk as the server's appendfsync says; with history.wait_replicas
        on so many replicas, too."""
        if not events:
            return Appended()
        named = keys or [event_key(event) for event in events]
        return self.writer.append(events, named, self.open_names())

    def open_names(self) -> Pseudonyms:
        """Those of the store; of a new store those of the home, made where there are none."""
        entry = self.names_entry()
        if entry is None:
            names, key = self.keys.open(), self.names_of.names
            self._nodes.one(key, "HSETNX", key, "generation", names.generation)
            self._nodes.one(key, "HSETNX", key, "fingerprint", names.fingerprint)
            self._nodes.one(key, "HSETNX", key, "form", 1)
            entry = self.names_entry(look=True)
            assert entry is not None
        return self.keys.of(entry.generation, entry.fingerprint)

    def forget(self, user: str | None = None, session: str | None = None) -> Forgotten:
        """See Histories: every node writes its files anew. A rotation that is not at its end is
        brought there before: it would bring back what lies under older names."""
        entry, newest = self.names_entry(look=True), self.keys.read()
        if entry is not None and entry.since is not None and newest is not None:
            self.rename(newest)
        names = self._names()
        if names is None or (user is None and session is None):
            return Forgotten()
        self._mark_to_erase()
        self.mend_moves()
        who = hidden(names, user, session)
        if who.user is not None:
            forgotten = self._forget_user(Tag("u", who.user))
        else:
            forgotten = self._forget_session(Tag("s", who.session or ""))
        self._newest.clear()
        self._erase()
        return forgotten

    def _forget_user(self, user: Tag) -> Forgotten:
        if not self._are_stored([user])[0]:
            return Forgotten()
        sessions = [Tag("s", name) for name in self._sessions_of(user)]
        deleted = sum(self._delete(session, user.name) for session in sessions)
        deleted += self._delete(user, "")
        return Forgotten(events=deleted, sessions=len(sessions), known=True)

    def _delete(self, tag: Tag, owner: str) -> int:
        """A shopper's keys, where it still is this owner's; how many events."""
        keys = self.names_of.all_of(tag)
        call = "FCALL", "reranker_1_forget_session", 3, *keys[:3], owner
        deleted = int(self._nodes.one(keys[0], *call))
        if tag.kind == "u":
            self._nodes.one(keys[3], "DEL", keys[3])
        return deleted

    def _forget_session(self, session: Tag) -> Forgotten:
        """Its own events, wherever they are."""
        if not self._are_stored([session])[0]:
            return Forgotten()
        deleted, owner = 0, self._owner(session)
        if owner is not None:
            user = Tag("u", owner)
            own = [row for row in self.writer.rows(user) if _is_of(row, session)]
            self.writer.remove(user, own)
            deleted = len(own)
            key = self.names_of.sessions(user)
            self._nodes.one(key, "SREM", key, session.name)
        deleted += self._delete(session, "")
        return Forgotten(events=deleted, sessions=1, known=True)

    def forget_old(self) -> int:
        """See Histories."""
        oldest = cutoff(self._settings)
        if oldest == -math.inf or self._names() is None:
            return 0
        self.mend_moves()
        deleted = 0
        for tags in self._windows("e"):
            deleted += self._forget_before(tags, oldest, on_first=deleted == 0)
        for tags in self._windows("s"):
            for tag in tags:
                self._drop_session(tag, oldest)
        if deleted:
            self._newest.clear()
            self._erase()
        return deleted

    def _forget_before(self, tags: Sequence[Tag], oldest: float, *, on_first: bool) -> int:
        """Of these shoppers, what is older; what is begun is noted before the first is deleted."""
        keys = [(self.names_of.events(tag), self.names_of.keys(tag)) for tag in tags]
        before = f"({written(oldest)}"
        counts = self._nodes.run([Command(e, ("ZCOUNT", e, "-inf", before)) for e, _ in keys])
        if on_first and any(counts):
            self._mark_to_erase()
        calls = [
            Command(e, ("FCALL", "reranker_1_expire", 2, e, k, written(oldest)))
            for (e, k), count in zip(keys, counts, strict=True)
            if count
        ]
        return sum(int(gone) for gone, _ in self._nodes.run(calls))

    def _drop_session(self, session: Tag, oldest: float) -> None:
        """Forget whose a session is, of whom nothing is left, or that only old events spoke of."""
        key = self.names_of.session(session)
        owner, since = self._nodes.one(key, "HMGET", key, "owner", "since")
        if owner is None:
            return
        user = Tag("u", owner.decode())
        events = self.names_of.events(user)
        spoken_of = self._nodes.one(events, "EXISTS", events)
        if spoken_of and 0 <= float(since) <= oldest:
            spoken_of = any(_is_of(row, session) for row in self.writer.rows(user))
        if not spoken_of:
            sessions = self.names_of.sessions(user)
            self._nodes.one(sessions, "SREM", sessions, session.name)
            self._delete(session, user.name)

    def stored_as(self, who: Shopper) -> list[Shopper]:
        """See Histories. HistoryFailure while something that was deleted is still on a disk."""
        entry = self.names_entry(look=True)
        if entry is not None and entry.to_erase:
            self._erase()
        return super().stored_as(who)

    def _mark_to_erase(self) -> None:
        self._nodes.one(self.names_of.names, "HSET", self.names_of.names, "to_erase", 1)

    def _erase(self) -> None:
        """Nothing of what was deleted stays in the files of any node."""
        erase_on_every_node(self._nodes, self._settings.wait_replicas)
        self._nodes.one(self.names_of.names, "HDEL", self.names_of.names, "to_erase")

    def mend(self) -> None:
        """See Histories."""
        entry = self.names_entry(look=True)
        if entry is None:
            return
        names = self.keys.read()
        if names is not None and (entry.since is not None or entry.generation < names.generation):
            self.rename(names)
        self.mend_moves()
        entry = self.names_entry(look=True)
        if entry is not None and entry.to_erase:
            self._erase()

    def mend_moves(self) -> None:
        """End what was cut off while a session's events moved to its user."""
        pending = self.names_of.pending
        for session in sorted(self._nodes.one(pending, "SMEMBERS", pending)):
            self.writer.finish(session.decode())

    def rename(self, names: Pseudonyms) -> int:
        """See Histories. Both generations are read until all of the older have moved."""
        entry = self.names_entry(look=True)
        if entry is None or (entry.generation >= names.generation and entry.since is None):
            return 0
        key, since = self.names_of.names, entry.since or entry.generation
        changes = "generation", names.generation, "fingerprint", names.fingerprint
        self.mend_moves()
        self._nodes.one(key, "HSET", key, *changes, "since", since, "to_erase", 1)
        # Who looked the generation up before may hold it for as long, then try as long to write.
        time.sleep(_SETTLE * (NAMES_SECONDS + self._settings.wait_seconds))
        self.mend_moves()
        changed: set[Tag] = set()
        while moved := self._rename_once(names):
            changed |= moved
        self._nodes.one(key, "HDEL", key, "since")
        self._entry = None
        self._newest.clear()
        self._erase()
        return len(changed)

    def _rename_once(self, names: Pseudonyms) -> set[Tag]:
        """Everybody who is kept under an older pseudonym. Whose sessions are goes first and is
        dropped last, so that whoever asks for a session meets its user under either name."""
        moved: set[Tag] = set()
        for which, rename in (
            *(("s", self._rename_owner), ("e", self._rename_events)),
            *(("s", self._drop_old), ("o", self._drop_old)),
        ):
            for tags in self._windows(which):
                for tag in tags:
                    if generation_of(tag.name) < names.generation:
                        rename(tag, names)
                        moved.add(tag)
        return moved

    def _rename_owner(self, session: Tag, names: Pseudonyms) -> None:
        """Whose a session is, under the newer names of both."""
        key = self.names_of.session(session)
        owner, since = self._nodes.one(key, "HMGET", key, "owner", "since")
        if owner is not None:
            newer = names.as_written(False, session.name), names.as_written(True, owner.decode())
            self.writer.own(*newer, float(since))

    def _rename_events(self, tag: Tag, names: Pseudonyms) -> None:
        newer = Tag(tag.kind, names.as_written(tag.kind == "u", tag.name))
        generation = generation_of(tag.name)
        rows = self.writer.rows(tag)
        self.writer.put(self._where(newer), [_renamed(row, names, generation) for row in rows])
        self.writer.remove(tag, rows)

    def _drop_old(self, tag: Tag, _names: Pseudonyms) -> None:
        """What says whose sessions are, once the newer names say it."""
        keys = self.names_of.session(tag), self.names_of.sessions(tag)
        self._nodes.one(keys[0], "DEL", *keys)

    def _where(self, tag: Tag) -> Tag:
        """A session's owner, where it has one by now."""
        owner = self._owner(tag) if tag.kind == "s" else None
        return tag if owner is None else Tag("u", owner)

    def close(self) -> None:
        """See Histories."""
        self._for_requests.close()
        self._nodes.close()


def _is_of(row: Row, session: Tag) -> bool:
    return row.nameless and row.event.session == session.name


def _renamed(row: Row, names: Pseudonyms, since: int) -> Row:
    event = row.event
    key = names.event(row.key, since, has_id=event.id is not None)
    if event.session is not None:
        event = msgspec.structs.replace(event, session=names.as_written(False, event.session))
    renamed = row_of(event, row.number, key).member
    return Row(row.time, renamed[:16] + row.member[16:17] + renamed[17:])  # its flag as it was
