"""redis_reads.py: a Redis and a shopper -> the newest events, in one command.

What `Histories` promises of reading. While keys are rotated, a shopper's events lie under two
pseudonyms; both are read, and what is just on its way from one to the other counts once.
"""

import heapq
import math
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from reranker.errors import HistoryFailure
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.decoded import DecodedEvents, decoded, packed
from reranker.histories.histories import Shopper
from reranker.histories.reads import cutoff
from reranker.histories.redis_nodes import Command, Nodes, StoreUrl
from reranker.histories.redis_rows import HEAD_BYTES, KeyNames, Row, Tag, rows_of, written
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.pseudonyms.pseudonyms import Pseudonyms
from reranker.pseudonyms.raw_names import raw_forms

NAMES_SECONDS: Final = 1.0  # for which the generation of the names is not looked up again
_WINDOW: Final = 256  # shoppers read at once when all are read
_SCAN: Final = 1000
_FORM: Final = b"1"


class NamesEntry(NamedTuple):
    """What the store says of its names. since: the generation before, while they are rotated."""

    generation: int
    fingerprint: str
    since: int | None
    to_erase: bool


class RedisReader:
    """The histories at an address, for who reads them."""

    def __init__(self, url: StoreUrl, settings: HistorySettings, keys: PseudonymKeys) -> None:
        self.url, self.keys, self._settings = url, keys, settings
        self.names_of = KeyNames(url.prefix)
        self._for_requests = Nodes(url, settings.read_seconds)
        self._nodes = Nodes(url, settings.wait_seconds)
        self._newest = DecodedEvents(url.shown)
        self._entry: tuple[float, NamesEntry | None] | None = None

    def at_hand(
        self, user: str | None = None, session: str | None = None, n: int = 50
    ) -> list[HistoryEvent] | None:
        """None: only the server knows whether another service has written."""
        return None

    def recent(
        self,
        user: str | None = None,
        session: str | None = None,
        n: int = 50,
        before: float | None = None,
    ) -> list[HistoryEvent]:
        """See Histories."""
        if user is None and session is None:
            return []
        until = "inf" if before is None else f"({written(before)}"
        window = until, written(cutoff(self._settings)), n
        entry = self.names_entry()
        shopper, payloads = self._recent(entry, user, session, window)
        if not payloads and entry != (newer := self.names_entry(look=True)):
            shopper, payloads = self._recent(newer, user, session, window)
        payloads.reverse()
        return self._newest.of(shopper, packed(payloads))

    def _recent(
        self,
        entry: NamesEntry | None,
        user: str | None,
        session: str | None,
        window: tuple[str, str, int],
    ) -> tuple[Shopper, list[bytes]]:
        """The payloads of the newest events, newest first."""
        if entry is None:
            return Shopper(user, session), []
        names = self.keys.of(entry.generation, entry.fingerprint)
        who = hidden(names, user, session)
        if entry.since is None and session is None and who.user is not None:
            key = self.names_of.events(Tag("u", who.user))
            members = self._for_requests.one(key, *_newest(key, window))
            return who, [member[HEAD_BYTES:] for member in members]
        generations = [names] if entry.since is None else [names, names.at(entry.since)]
        rows: list[Row] = []
        for generation in generations:
            rows += self._rows(hidden(generation, user, session), window)
        newest = newest_first(rows)
        return who, [row.member[HEAD_BYTES:] for row in islice(newest, window[2])]

    def _rows(self, who: Shopper, window: tuple[str, str, int]) -> list[Row]:
        """Of a user, of a session or the user it became, or of both."""
        commands = []
        if who.user is not None:
            commands.append(self._of_user(who.user, window))
        if who.session is not None:
            tag = Tag("s", who.session)
            events, session = self.names_of.events(tag), self.names_of.session(tag)
            call = "FCALL_RO", "reranker_1_recent", 2, events, session, *window
            commands.append(Command(events, call))
        answers = self._for_requests.run(commands)
        rows = rows_of(answers[0]) if who.user is not None else []
        if who.session is None:
            return rows
        owner, *own = answers[-1]
        if not owner:
            return rows + rows_of(own[0])
        if who.user is not None:  # a session of somebody else, or read with the user's
            return rows
        [answer] = self._for_requests.run([self._of_user(owner.decode(), window)])
        return rows_of(answer)

    def _of_user(self, name: str, window: tuple[str, str, int]) -> Command:
        key = self.names_of.events(Tag("u", name))
        return Command(key, _newest(key, window, "WITHSCORES"))

    def names_entry(self, *, look: bool = False) -> NamesEntry | None:
        """Of which keys the names are, as of a moment ago; look: as of now."""
        known = self._entry
        now = time.monotonic()
        if not look and known is not None and now - known[0] < NAMES_SECONDS:
            return known[1]
        told = self._for_requests.one(self.names_of.names, "HGETALL", self.names_of.names)
        entry = _entry_of(told, self._for_requests)
        self._entry = now, entry
        return entry

    def _names(self) -> Pseudonyms | None:
        """Those with which the store is written now; None where nothing was written yet."""
        entry = self.names_entry(look=True)
        return None if entry is None else self.keys.of(entry.generation, entry.fingerprint)

    def newest_time(self) -> float | None:
        """See Histories."""
        newest = -math.inf
        for tags in self._windows("e"):
            keys = [self.names_of.events(tag) for tag in tags]
            last = [Command(key, ("ZRANGE", key, -1, -1, "WITHSCORES")) for key in keys]
            for answer in self._nodes.run(last):
                newest = max([newest, *(row.time for row in rows_of(answer))])
        return None if newest == -math.inf else newest

    def hidden(self, shopper: Shopper) -> Shopper:
        """See Histories."""
        names = self.keys.read()
        return shopper if names is None else hidden(names, *shopper)

    def same_person(self, who: Shopper) -> list[Shopper]:
        """See Histories."""
        names = self._names()
        if names is None:
            return []
        own = hidden(names, *who)
        rows: list[Shopper] = []
        for tag in _tags(own):
            owner = self._owner(tag) if tag.kind == "s" else None
            rows += self._with_sessions(tag if owner is None else Tag("u", owner))
        return rows

    def _owner(self, session: Tag) -> str | None:
        key = self.names_of.session(session)
        owner = self._nodes.one(key, "HGET", key, "owner")
        return None if owner is None else owner.decode()

    def _with_sessions(self, tag: Tag) -> list[Shopper]:
        """A shopper who is kept, and of a user the sessions."""
        if not self._are_stored([tag])[0]:
            return []
        rows = [tag.shopper]
        if tag.kind == "u":
            rows += [Shopper(None, name) for name in self._sessions_of(tag)]
        return rows

    def _sessions_of(self, user: Tag) -> list[str]:
        key = self.names_of.sessions(user)
        return sorted(name.decode() for name in self._nodes.one(key, "SMEMBERS", key))

    def _are_stored(self, tags: Sequence[Tag]) -> list[bool]:
        """Whether anything is kept of each of these."""
        keys = [self.names_of.all_of(tag) for tag in tags]
        return [bool(n) for n in self._nodes.run([Command(k[0], ("EXISTS", *k)) for k in keys])]

    def stored_as(self, who: Shopper) -> list[Shopper]:
        """See Histories."""
        names = self._names()
        if names is None:
            return []
        name, kind = (who.user, "u") if who.user is not None else (who.session or "", "s")
        forms = sorted({names.as_written(kind == "u", form) for form in raw_forms(name)})
        tags = [Tag(kind, form) for form in forms]
        stored = zip(tags, self._are_stored(tags), strict=True)
        return [tag.shopper for tag, is_stored in stored if is_stored]

    def export(self, user: str | None = None, session: str | None = None) -> Iterator[HistoryEvent]:
        """See Histories. The events carry the user's name."""
        names = self._names()
        if names is None:
            return
        who = hidden(names, user, session)
        for tag in _tags(who if user is not None else Shopper(None, who.session)):
            owner = self._owner(tag) if tag.kind == "s" else None
            whose = tag if owner is None else Tag("u", owner)
            for event in self._whole([whose], "-inf")[0]:
                own = session if event.session == who.session else event.session
                yield msgspec.structs.replace(event, user=user, session=own)
            return

    def users(self) -> Iterator[str]:
        """See Histories."""
        for tags in self._windows("e"):
            yield from (tag.name for tag in tags if tag.kind == "u")

    def stream(self) -> Iterator[tuple[Shopper, list[HistoryEvent]]]:
        """See Histories."""
        since = written(cutoff(self._settings))
        for tags in self._windows("e"):
            for tag, events in zip(tags, self._whole(tags, since), strict=True):
                if events:
                    yield tag.shopper, events

    def _whole(self, tags: Sequence[Tag], since: str) -> list[list[HistoryEvent]]:
        keys = [self.names_of.events(tag) for tag in tags]
        asked = [Command(key, ("ZRANGEBYSCORE", key, since, "inf")) for key in keys]
        return [
            decoded(packed([member[HEAD_BYTES:] for member in members]), self.url.shown)
            for members in self._nodes.run(asked)
        ]

    def _windows(self, which: str) -> Iterator[list[Tag]]:
        """All shoppers who have this key, some at a time. A scan may tell one twice, and not here:
        eight bytes of each are remembered."""
        met: set[int] = set()
        window: list[Tag] = []
        for address in self._nodes.primaries():
            cursor: Any = 0
            while True:
                found = "MATCH", self.names_of.every[:-1] + which, "COUNT", _SCAN
                cursor, keys = self._nodes.ask_node(address, "SCAN", cursor, *found)
                for key in sorted(keys):
                    if (short := hash(key)) not in met:
                        met.add(short)
                        window.append(self.names_of.tag_of(key)[0])
                while len(window) >= _WINDOW:
                    yield window[:_WINDOW]
                    window = window[_WINDOW:]
                if int(cursor) == 0:
                    break
        if window:
            yield window

    def drop_unused(self) -> None:
        """See Histories."""
        self._newest.drop_unused()


def hidden(names: Pseudonyms, user: str | None, session: str | None) -> Shopper:
    """A shopper under pseudonyms."""
    return Shopper(
        None if user is None else names.user(user),
        None if session is None else names.session(session),
    )


def newest_first(rows: Sequence[Row]) -> Iterator[Row]:
    """In the order of time and arrival from the newest, each once."""
    last = None
    heap = [(-row.time, -row.number, row) for row in rows]
    heapq.heapify(heap)
    while heap:
        time_, number, row = heapq.heappop(heap)
        if (time_, number) != last:
            yield row
        last = time_, number


def _tags(who: Shopper) -> list[Tag]:
    tags = [] if who.user is None else [Tag("u", who.user)]
    return tags if who.session is None else [*tags, Tag("s", who.session)]


def _newest(key: str, window: tuple[str, str, int], *how: str) -> tuple[Any, ...]:
    until, since, n = window
    return "ZREVRANGEBYSCORE", key, until, since, *how, "LIMIT", 0, n


def _entry_of(told: Any, nodes: Nodes) -> NamesEntry | None:
    """What is written of the names; HistoryFailure where it is of another release."""
    fields = dict(zip(told[::2], told[1::2], strict=True)) if isinstance(told, list) else told
    if not fields:
        return None
    if fields.get(b"form") != _FORM:
        raise HistoryFailure(
            f"What is kept in {nodes.url.shown} has another form than this program knows.",
            hint="It was written by another version of the program: use that one.",
        )
    since = fields.get(b"since")
    return NamesEntry(
        int(fields[b"generation"]),
        fields[b"fingerprint"].decode(),
        None if since is None else int(since),
        fields.get(b"to_erase") == b"1",
    )
