"""attributes.py: facts on users -> the attributes of each, under pseudonyms, in files of the home.

A file holds the users whose pseudonyms begin alike, and is replaced as a whole: a reader, a backup
and a crash see it as it was before or after a change. Each attribute has its time: what came later
replaces it, and a request at a moment sees what was known then.
"""

import math
import threading
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from indexes.names import BadName, read_name
from indexes.quoting import shown
from indexes.storage.durable import make_own_folder, replaced
from indexes.storage.locks import waiting
from indexes.times import BadTime, TimeReader
from reranker.events.cleaning import BadEvent
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.pseudonyms.pseudonyms import Pseudonyms, generation_of

FOLDER: Final = "attributes"
_LOCK: Final = "lock"
_MOST_FIELDS: Final = 100
_MOST_CHARS: Final = 512

Value = bool | int | float | str | list[bool | int | float | str]
_Kept = dict[str, tuple[Value, float]]  # attribute -> value and time
_Users = dict[str, _Kept]
_users: Final = msgspec.json.Decoder(_Users)


class Fact(NamedTuple):
    """What is known of a user from a time on."""

    user: str
    time: float
    fields: Mapping[str, Value]


def read_fact(row: Mapping[str, Any], times: TimeReader) -> Fact:
    """A row of user, time and fields as a fact; BadEvent for its first fault."""
    try:
        user = read_name("user", row.get("user"))
        seconds = times.read(row.get("time")).seconds
    except (BadName, BadTime) as error:
        raise BadEvent(str(error).partition(" ")[0], str(error)) from None
    if user is None:
        raise BadEvent("user", "user is missing")
    fields = row.get("fields") or {}
    if len(fields) > _MOST_FIELDS:
        raise BadEvent(
            "fields", f"fields has {len(fields):,} entries; at most {_MOST_FIELDS} may be"
        )
    for name, value in fields.items():
        if not isinstance(name, str) or not _is_value(name) or not _is_value(value):
            raise BadEvent(
                "fields",
                f"{shown(name)} is {shown(value)}; a text of at most {_MOST_CHARS} characters, a "
                "number, true, false or a list of these is expected",
            )
    return Fact(user, seconds, fields)


def _is_value(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= _MOST_FIELDS and all(
            not isinstance(part, list) and _is_value(part) for part in value
        )
    if isinstance(value, str):
        return len(value) <= _MOST_CHARS and not any("\ud800" <= char <= "\udfff" for char in value)
    # What is kept as JSON has to be read again: neither NaN nor infinities.
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


class Attributes:
    """The attributes of all users of a home. Safe for several threads and processes."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER
        self._keys = PseudonymKeys(home)
        self._read: dict[Path, tuple[tuple[int, int], _Users]] = {}
        self._reading = threading.Lock()

    def put(self, facts: Iterable[Fact]) -> int:
        """Keep facts, on the disk when this returns; of how many users."""
        facts = list(facts)
        if not facts:
            return 0
        by_file: dict[Path, list[tuple[str, Fact]]] = {}
        self._keys.open()
        make_own_folder(self._folder)
        with waiting(self._folder / _LOCK):
            names = self._keys.open()  # a new key may have come while others held the lock
            for fact in facts:
                name = names.user(fact.user)
                by_file.setdefault(self._file(name), []).append((name, fact))
            for path, of_file in by_file.items():
                users = self._users(path)
                for name, fact in of_file:
                    users[name] = _newest(users.get(name, {}), _kept(fact))
                self._write(path, users)
        return sum(len({name for name, _ in of_file}) for of_file in by_file.values())

    def of(self, user: str | None, before: float | None = None) -> dict[str, Value]:
        """A user's attributes, or those known before a time; user may be a pseudonym."""
        names = self._keys.known() if user and self._folder.is_dir() else None
        if names is None or user is None:
            return {}
        kept: _Kept = {}
        for name in _of_every_key(names, user):
            kept = _newest(kept, self._users_at_hand(self._file(name)).get(name, {}))
        return {
            field: value for field, (value, at) in kept.items() if before is None or at < before
        }

    def forget(self, user: str | None) -> int:
        """Delete a user's attributes; how many there were."""
        names = self._keys.known() if user and self._folder.is_dir() else None
        if names is None or user is None:
            return 0
        gone: _Kept = {}
        with waiting(self._folder / _LOCK):
            for name in _of_every_key(names, user):
                path = self._file(name)
                users = self._users(path)
                if name in users:
                    gone = _newest(gone, users.pop(name))
                    self._write(path, users)
        return len(gone)

    def forget_before(self, time: float) -> int:
        """Delete attributes that are older; how many."""
        deleted = 0
        for path in self._files():
            with waiting(self._folder / _LOCK):
                users = self._users(path)
                young = {
                    name: {field: pair for field, pair in kept.items() if pair[1] >= time}
                    for name, kept in users.items()
                }
                count = sum(map(len, users.values())) - sum(map(len, young.values()))
                if count:
                    self._write(path, {name: kept for name, kept in young.items() if kept})
                deleted += count
        return deleted

    def rename(self, names: Pseudonyms) -> int:
        """Re-key what is of an older generation; of how many users. Safe to be repeated: the new
        names are written before the old ones go."""
        if not self._folder.is_dir():
            return 0
        with waiting(self._folder / _LOCK):
            old = {path: self._users(path) for path in self._files()}
            new: dict[Path, _Users] = {}
            renamed = 0
            for users in old.values():
                for name, kept in users.items():
                    newer = names.user(name)
                    renamed += newer != name
                    of_file = new.setdefault(self._file(newer), {})
                    of_file[newer] = _newest(of_file.get(newer, {}), kept)
            if renamed:
                for path, users in new.items():
                    self._write(path, old.get(path, {}) | users)
                for path in {*old, *new}:
                    self._write(path, new.get(path, {}))
        return renamed

    def _file(self, name: str) -> Path:
        """Of a pseudonym, by its first digits after the generation."""
        return self._folder / f"{name[3:5]}.json"

    def _files(self) -> Collection[Path]:
        return sorted(self._folder.glob("*.json"))

    def _users(self, path: Path) -> _Users:
        try:
            return _users.decode(path.read_bytes())
        except FileNotFoundError:
            return {}

    def _users_at_hand(self, path: Path) -> _Users:
        """The same, from memory as long as the file is the same."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return {}
        sign = status.st_mtime_ns, status.st_ino
        known = self._read.get(path)
        if known is None or known[0] != sign:
            with self._reading:
                known = self._read[path] = sign, self._users(path)
        return known[1]

    def _write(self, path: Path, users: _Users) -> None:
        if users:
            with replaced(path) as file:
                file.write(msgspec.json.encode(users))
        else:
            path.unlink(missing_ok=True)


def _of_every_key(names: Pseudonyms, user: str) -> list[str]:
    """What a user was called under each key, oldest first: a rotation may be at work, or have been
    cut off, and then what is kept has names of both."""
    first = max(generation_of(user), 1)
    return [names.at(number).user(user) for number in range(first, names.generation + 1)]


def _kept(fact: Fact) -> _Kept:
    return {field: (value, fact.time) for field, value in fact.fields.items()}


def _newest(one: _Kept, other: _Kept) -> _Kept:
    """Of each attribute the later value; of equal times the other's."""
    merged = dict(one)
    for field, pair in other.items():
        if field not in merged or pair[1] >= merged[field][1]:
            merged[field] = pair
    return merged
