"""pseudonyms.py: a shopper's name and the home's keys -> the name under which it lies on the disk.

A keyed hash: without the keys nobody can try names until one fits. Every new key hashes what the
one before it made, so what is kept can be re-keyed although nobody knows the names any more.

    ~01 + 32 hex digits = HMAC(key 1, "u " + name), ~02... = HMAC(key 2, ~01...), and so on

A pseudonym is a name, too: where one is given as a name, it stands for its shopper. Names count in
their one form (indexes/names.py) here at the latest, by whichever door they came.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final

import msgspec

from indexes.names import normalised
from reranker.events.events import HistoryEvent
from reranker.events.identity import CONTENT_BITS, CONTENT_MASK, KEY_BITS

MOST_KEYS: Final = 255
SIZE: Final = 35  # characters
_DIGITS: Final = 32
_FORM: Final = re.compile(r"~([0-9a-f]{2})[0-9a-f]{32}")


class Pseudonyms:
    """Names of users, sessions and events, made with some keys, oldest first."""

    def __init__(self, *keys: bytes) -> None:
        self._keys = keys
        self._users = hmac.new(keys[0], b"u ", hashlib.sha256)
        self._sessions = hmac.new(keys[0], b"s ", hashlib.sha256)

    @property
    def generation(self) -> int:
        """How many keys there are; every pseudonym says of which generation it is."""
        return len(self._keys)

    @cached_property
    def fingerprint(self) -> str:
        """By which keys are known again without telling them."""
        return hashlib.sha256(b"fingerprint " + b"".join(self._keys)).hexdigest()[:16]

    def at(self, generation: int) -> "Pseudonyms":
        """Those of the oldest keys alone, as they were then."""
        return self if generation == self.generation else Pseudonyms(*self._keys[:generation])

    def user(self, name: str) -> str:
        """A user and a session of the same name have different ones."""
        return self._of(self._users, normalised(name) or name)

    def session(self, name: str) -> str:
        """The same of a session."""
        return self._of(self._sessions, normalised(name) or name)

    def as_written(self, is_user: bool, name: str) -> str:
        """Of a name exactly as it is: what a release made that did not bring names to one form."""
        return self._of(self._users if is_user else self._sessions, name)

    def event(self, key: int, since: int = 0, *, has_id: bool = False) -> int:
        """63 bits that tell events apart, keyed: they are made of names, too.

        since: the generation of a key that was made before. has_id: of events with the same id the
        upper bits stay the same (events/identity.py).
        """
        for secret in self._keys[since:]:
            keyed = _bits(secret, b"e ", key, KEY_BITS)
            if has_id:
                name = _bits(secret, b"i ", key >> CONTENT_BITS, KEY_BITS - CONTENT_BITS)
                keyed = name << CONTENT_BITS | keyed & CONTENT_MASK
            key = keyed
        return key

    def tag(self, content: bytes) -> bytes:
        """32 bytes that nobody makes without the newest key, for what is kept beside pseudonyms."""
        return hmac.digest(self._keys[-1], b"t " + content, "sha256")

    def hidden(self, events: Iterable[HistoryEvent]) -> Iterator[HistoryEvent]:
        """The events without the names of their users and sessions."""
        users: dict[str | None, str | None] = {None: None}
        sessions: dict[str | None, str | None] = {None: None}
        for event in events:
            user, session = event.user, event.session
            if user is not None and user not in users:
                users[user] = self.user(user)
            if session is not None and session not in sessions:
                sessions[session] = self.session(session)
            yield msgspec.structs.replace(event, user=users[user], session=sessions[session])

    def _of(self, begun: hmac.HMAC, name: str) -> str:
        generation = generation_of(name)
        if not generation:
            digest = begun.copy()
            digest.update(name.encode("utf-8", "surrogatepass"))
            generation, name = 1, f"~01{digest.hexdigest()[:_DIGITS]}"
        for number, key in enumerate(self._keys[generation:], generation + 1):
            digits = hmac.digest(key, name.encode(), "sha256").hex()[:_DIGITS]
            name = f"~{number:02x}{digits}"
        return name


def _bits(secret: bytes, kind: bytes, number: int, bits: int) -> int:
    digest = hmac.digest(secret, kind + number.to_bytes(8, "big"), "sha256")
    return int.from_bytes(digest[:8], "big") >> (64 - bits)


def generation_of(name: str) -> int:
    """Of which generation a pseudonym is; 0 for a name that is none."""
    if not name.startswith("~"):
        return 0
    form = _FORM.fullmatch(name)
    return int(form[1], 16) if form else 0
