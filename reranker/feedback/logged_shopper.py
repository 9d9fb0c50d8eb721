"""logged_shopper.py: the folder of logged rankings -> what is one shopper's in it, and without it.

A shopper's lines are overwritten with spaces where they stand: nothing of them is left on the disk,
and processes that append to the same file need not stop. Blank lines are no lines. A line that is
torn cannot say whose it is: it goes with every shopper that it may name.
"""

import re
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.errors import Failure
from reranker.feedback.days import day_lines, logged_days, overwrite
from reranker.pseudonyms.pseudonyms import SIZE, Pseudonyms, generation_of
from reranker.pseudonyms.raw_names import pseudonyms_of
from reranker.pseudonyms.text_search import NameSearch

SETTLE: Final = 0.3  # longer than a running service gathers rankings before it writes them
_PSEUDONYM: Final = re.compile(rb"~[0-9a-f]{1,34}")
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class LoggedShopper:
    """One shopper's lines in the log: those with the name, and those of sessions that are theirs.

    names: None where no key was ever made. sessions: of a user, the sessions known to be theirs;
    the log may know of more.
    """

    def __init__(
        self,
        folder: Path,
        names: Pseudonyms | None,
        user: str | None = None,
        session: str | None = None,
        sessions: Collection[str] = (),
    ) -> None:
        self._paths = [path for _, path in logged_days(folder)]
        self._names = names
        self._text = NameSearch([user if user is not None else session or ""])
        self._users: set[str] = set()
        self._sessions: set[str] = set()
        self._every: set[str] = set()  # under each key: what a torn line may begin to say
        if names is not None:
            self._look_for(names, user, session, sessions)

    def _look_for(
        self, names: Pseudonyms, user: str | None, session: str | None, sessions: Collection[str]
    ) -> None:
        if user is not None:
            self._every |= pseudonyms_of(names, user, is_user=True)
            self._users = {names.user(name) for name in self._every}
            own_sessions = list(sessions)
        else:
            own_sessions = [session or ""]
        for name in own_sessions:
            every = pseudonyms_of(names, name, is_user=False)
            self._every |= every
            self._sessions |= set(map(names.session, every))
        if user is not None:
            self._sessions |= self._named_beside(names.session)

    def _named_beside(self, newest: Callable[[str], str]) -> set[str]:
        """Sessions in lines that name the user, too."""
        return {
            newest(row["session"])
            for path in self._paths
            for row in _rows(path)
            if self._carried(row, "user") in self._users and isinstance(row.get("session"), str)
        }

    def lines(self) -> Iterator[dict[str, Any]]:
        """Their rankings as they are logged, oldest day first."""
        for path in self._paths:
            for row in _rows(path):
                if self._is_theirs(row):
                    yield row

    def erase(self) -> int:
        """Overwrite their rankings on the disk; how many. Waits for what is being written now.

        Failure where a file cannot be written.
        """
        if self._names is None or not self._paths:
            return 0
        time.sleep(SETTLE)
        return sum(self._erase(path) for path in self._paths)

    def _erase(self, path: Path) -> int:
        try:
            return overwrite(path, self._without)
        except OSError as error:
            raise Failure(
                f"{path} cannot be written: {error.strerror or error}. Nothing was verified, and "
                "rankings of this shopper may be left.",
                hint="Mend its permissions, or the disk, and run `reranker forget` again.",
            ) from error

    def _without(self, line: bytes) -> bytes | None:
        try:
            theirs = self._is_theirs(_decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            theirs = self._may_name(line)
        return b" " * len(line) if theirs else None

    def _is_theirs(self, row: dict[str, Any]) -> bool:
        if "user" in row:
            return self._carried(row, "user") in self._users
        return self._carried(row, "session") in self._sessions

    def _carried(self, row: dict[str, Any], key: str) -> str:
        """A line's pseudonym under the newest key: a rotation may not have come to this line."""
        pseudonym = row.get(key)
        if not isinstance(pseudonym, str) or self._names is None:
            return ""
        return self._names.user(pseudonym) if key == "user" else self._names.session(pseudonym)

    def _may_name(self, line: bytes) -> bool:
        """Whether a torn line holds one of their names, whole or as far as it was written."""
        assert self._names is not None
        for match in _PSEUDONYM.finditer(line):
            name = match[0].decode()
            if len(name) < SIZE:
                if any(pseudonym.startswith(name) for pseudonym in self._every):
                    return True
            elif generation_of(name) and self._names.user(name) in self._users | self._sessions:
                return True
        return self._text.holds(line)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Every line that is an object."""
    for line in day_lines(path):
        try:
            yield _decode(line.content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
