"""redis_writes.py: events -> rows in Redis, each shopper's in one step; sessions moved to users.

A session and its user lie in two slots, so no single step moves its events. Whatever order the
steps come in, and wherever they are cut off, repeating them ends at the same rows: who owns the
session is decided in its own slot, what moves is known by its key, and what is not done yet stands
in a list that `mend` works off.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.histories import Appended
from reranker.histories.reads import cutoff
from reranker.histories.redis_nodes import Command, Nodes
from reranker.histories.redis_rows import (
    ID_PLACE,
    ArrivalNumbers,
    KeyNames,
    Row,
    Tag,
    flat,
    row_of,
    rows_of,
    written,
)
from reranker.pseudonyms.pseudonyms import Pseudonyms

_PIECE = 2000  # rows of one call: a node answers nobody else meanwhile


class _New(NamedTuple):
    """An event under pseudonyms, its key, and its place in what was handed over."""

    event: HistoryEvent
    key: int
    place: int
    number: int

    @property
    def row(self) -> Row:
        return row_of(self.event, self.number, self.key)


class _Owned(NamedTuple):
    """Whose a session is, and since when. moving: whether its events have not all moved there."""

    owner: str | None
    since: float
    moving: bool = False


class RedisWriter:
    """Adds events, and moves them from a session to its user."""

    def __init__(self, nodes: Nodes, names_of: KeyNames, settings: HistorySettings) -> None:
        self.nodes, self.names_of, self._settings = nodes, names_of, settings
        self._most = settings.events_per_user
        self._numbers = ArrivalNumbers()

    def append(
        self, events: Sequence[HistoryEvent], keys: Sequence[int], names: Pseudonyms
    ) -> Appended:
        """Add what is new. Cut off in its middle, some of it may be there: nobody was told so."""
        appended = Appended()
        incoming = self._in_time(events, keys, names, appended)
        states = self._states({new.event.session for new in incoming if new.event.session})
        self._end_moves(states, appended)
        if any(_says_more(new.event, states) for new in incoming):
            incoming = self._not_stored(incoming, states, appended)
            self._log_in(incoming, states, appended)
        groups: defaultdict[Tag, list[_New]] = defaultdict(list)
        by_session: dict[Tag, Tag] = {}
        for new in incoming:
            tag = self._place(new.event, states)
            groups[tag].append(new)
            if new.event.user is None and tag.kind == "u":
                by_session[Tag("s", new.event.session or "")] = tag
        self._add(groups, appended)
        self._follow(by_session)
        return appended

    def _in_time(
        self,
        events: Sequence[HistoryEvent],
        keys: Sequence[int],
        names: Pseudonyms,
        appended: Appended,
    ) -> list[_New]:
        """The events that are not too old, under pseudonyms, numbered as they came."""
        oldest = cutoff(self._settings)
        first = self._numbers.take(len(events))
        incoming = []
        for place, (event, key) in enumerate(zip(names.hidden(events), keys, strict=True)):
            if event.time < oldest:
                appended.too_old += 1
            else:
                keyed = names.event(key, has_id=event.id is not None)
                incoming.append(_New(event, keyed, place, first + place))
        return incoming

    def _states(self, sessions: Collection[str]) -> dict[str, _Owned]:
        """Whose these sessions are now."""
        tags = [Tag("s", name) for name in sorted(sessions)]
        keys = [self.names_of.session(tag) for tag in tags]
        asked = [Command(key, ("HMGET", key, "owner", "since", "moving")) for key in keys]
        return {
            tag.name: _Owned(owner.decode() if owner else None, float(since or 0.0), bool(moving))
            for tag, (owner, since, moving) in zip(tags, self.nodes.run(asked), strict=True)
        }

    def _end_moves(self, states: dict[str, _Owned], appended: Appended) -> None:
        """End merges that were cut off: a history that is not whole yet would let too much in."""
        begun = [session for session, owned in states.items() if owned.moving]
        for session in begun:
            appended.merged += self.finish(session)
        if begun:
            states |= self._states(begun)

    def _place(self, event: HistoryEvent, states: dict[str, _Owned]) -> Tag:
        """Whose history gets an event."""
        if event.user is not None:
            return Tag("u", event.user)
        session = event.session or ""
        owner = states[session].owner
        return Tag("s", session) if owner is None else Tag("u", owner)

    def _not_stored(
        self, incoming: Sequence[_New], states: dict[str, _Owned], appended: Appended
    ) -> list[_New]:
        """Those that the histories as they are do not hold; what is held changes nothing."""
        groups: defaultdict[Tag, list[_New]] = defaultdict(list)
        for new in incoming:
            groups[self._place(new.event, states)].append(new)
        calls = []
        for tag, news in groups.items():
            key = self.names_of.keys(tag)
            words = (new.key.to_bytes(8, "big") for new in news)
            calls.append(Command(key, ("FCALL_RO", "reranker_1_known", 1, key, *words)))
        held: set[int] = set()
        for news, stored in zip(groups.values(), self.nodes.run(calls), strict=True):
            held |= {new.place for new, is_stored in zip(news, stored, strict=True) if is_stored}
        appended.duplicates += len(held)
        return [new for new in incoming if new.place not in held]

    def _log_in(
        self, incoming: Sequence[_New], states: dict[str, _Owned], appended: Appended
    ) -> None:
        """Let sessions belong to the users that events name with them. states: brought up to
        date."""
        earliest: dict[tuple[str, str], float] = {}
        for event in (new.event for new in incoming):
            if event.user is not None and event.session is not None:
                pair = event.user, event.session
                earliest[pair] = min(event.time, earliest.get(pair, event.time))
        for (user, session), time in earliest.items():
            owned = states[session]
            if owned.owner is None or time < owned.since:
                appended.merged += self.own(session, user, time)
                states |= self._states([session])

    def _add(self, groups: dict[Tag, list[_New]], appended: Appended) -> None:
        """One step a shopper; again for a session that somebody logged in with meanwhile."""
        while groups:
            tags = list(groups)
            asked = [self._append_call(tag, groups[tag]) for tag in tags]
            answers = self.nodes.run(asked, replicas=self._settings.wait_replicas)
            later: defaultdict[Tag, list[_New]] = defaultdict(list)
            for tag, (owner, *counts) in zip(tags, answers, strict=True):
                if owner:
                    later[Tag("u", owner.decode())] += groups[tag]
                else:
                    _count(appended, counts, groups[tag])
            groups = later

    def _append_call(self, tag: Tag, news: Sequence[_New]) -> Command:
        keys = self.names_of.events(tag), self.names_of.keys(tag), self.names_of.session(tag)
        rows = []
        for new in news:
            row = new.row
            rows += [written(row.time), new.event.id or "", row.member]
        settings = self._most, written(cutoff(self._settings)), ID_PLACE
        return Command(keys[0], ("FCALL", "reranker_1_append", 3, *keys, *settings, *rows))

    def _follow(self, placed: dict[Tag, Tag]) -> None:
        """Where a session went to somebody else while its events were added, they go, too."""
        if not placed:
            return
        states = self._states([session.name for session in placed])
        for session, tag in placed.items():
            owner = states[session.name].owner
            if owner is not None and owner != tag.name:
                self._move(session, tag, Tag("u", owner))

    def own(self, session: str, user: str, since: float) -> int:
        """Let a session belong to a user unless an earlier event said otherwise; how many of its
        events moved."""
        tag = Tag("s", session)
        pending, key = self.names_of.pending, self.names_of.session(tag)
        self.nodes.one(pending, "SADD", pending, session)
        call = "FCALL", "reranker_1_own", 1, key, user, written(since), f"s{session}"
        self.nodes.one(key, *call)
        return self.finish(session)

    def finish(self, session: str) -> int:
        """Do what is left of moving a session's events to its user; how many moved."""
        tag, pending = Tag("s", session), self.names_of.pending
        key = self.names_of.session(tag)
        owner, moving = self.nodes.one(key, "HMGET", key, "owner", "moving")
        count = 0
        if owner is not None and moving is not None:
            user = Tag("u", owner.decode())
            sessions = self.names_of.sessions(user)
            self.nodes.one(sessions, "SADD", sessions, session)
            for place in dict.fromkeys(moving.decode().split(",")):
                if Tag(place[0], place[1:]) != user:
                    count += self._move(tag, Tag(place[0], place[1:]), user)
            self.nodes.one(key, "FCALL", "reranker_1_moved", 1, key, owner, moving)
        self.nodes.one(pending, "SREM", pending, session)
        return count

    def _move(self, session: Tag, place: Tag, user: Tag) -> int:
        """The session's own events from where they are to its user's; how many are new there."""
        if place.kind == "u":
            sessions = self.names_of.sessions(place)
            self.nodes.one(sessions, "SREM", sessions, session.name)
        rows = self.rows(place)
        if place.kind == "u":
            rows = [row for row in rows if row.nameless and row.event.session == session.name]
        added = self.put(user, rows)
        self.remove(place, rows)
        return added

    def rows(self, tag: Tag) -> list[Row]:
        """Everything that is kept of a shopper, in order."""
        return self.rows_of_all([tag])[0]

    def rows_of_all(self, tags: Sequence[Tag]) -> list[list[Row]]:
        """The same of many shoppers."""
        keys = [self.names_of.events(tag) for tag in tags]
        asked = [Command(key, ("ZRANGE", key, 0, -1, "WITHSCORES")) for key in keys]
        return [rows_of(answer) for answer in self.nodes.run(asked)]

    def put(self, tag: Tag, rows: Sequence[Row]) -> int:
        """Add rows as they are, but for those whose key is there; how many were added."""
        return self.put_all({tag: rows})

    def put_all(self, rows_of_tags: Mapping[Tag, Sequence[Row]]) -> int:
        """The same of many shoppers."""
        calls = []
        for tag, rows in rows_of_tags.items():
            keys = self.names_of.events(tag), self.names_of.keys(tag)
            for piece in _pieces(rows):
                words = (word for row in piece for word in (written(row.time), row.member))
                call = "FCALL", "reranker_1_put", 2, *keys, self._most, *words
                calls.append(Command(keys[0], call))
        return sum(map(int, self.nodes.run(calls)))

    def remove(self, tag: Tag, rows: Sequence[Row]) -> None:
        """Take these rows away."""
        keys = self.names_of.events(tag), self.names_of.keys(tag)
        for piece in _pieces(rows):
            self.nodes.one(keys[0], "FCALL", "reranker_1_remove", 2, *keys, *flat(piece))


def _says_more(event: HistoryEvent, states: dict[str, _Owned]) -> bool:
    """Whether an event may say of its session whose it is, and nobody knew."""
    if event.user is None or event.session is None:
        return False
    owned = states[event.session]
    return owned.owner is None or event.time < owned.since


def _pieces(rows: Sequence[Row]) -> Iterable[Sequence[Row]]:
    return (rows[at : at + _PIECE] for at in range(0, len(rows), _PIECE))


def _count(appended: Appended, counts: Sequence[Any], news: Sequence[_New]) -> None:
    stored, duplicates, conflicts, first, too_old, trimmed = map(int, counts)
    appended.stored += stored
    appended.duplicates += duplicates
    appended.conflicts += conflicts
    appended.too_old += too_old
    appended.trimmed += trimmed
    if first:
        place = news[first - 1].place
        if appended.first_conflict is None or place < appended.first_conflict:
            appended.first_conflict = place
