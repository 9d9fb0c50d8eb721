"""ranking_files.py: the folder of logged rankings -> what is kept, what is one shopper's, and less.

A shopper's lines are overwritten with spaces where they stand: nothing of them is left on the disk,
and processes that append to the same file need not stop. Blank lines are no lines.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from indexes.workspace import Settings, Workspace
from reranker.pseudonyms import Pseudonyms

FOLDER: Final = "rankings"
_SUFFIX: Final = ".jsonl"
SETTLE: Final = 0.3  # longer than a running service gathers rankings before it writes them
_MEGABYTE: Final = 1_000_000

Mine = Callable[[dict[str, Any]], bool]


class RankingLogSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The log of rankings, from which judged requests and estimates are made."""

    log: Annotated[
        bool,
        msgspec.Meta(
            description="Log every ranking, under pseudonyms, in the home's rankings folder."
        ),
    ] = True
    days: Annotated[
        int, msgspec.Meta(ge=1, description="Days after which logged rankings are deleted.")
    ] = 30
    megabytes: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Most megabytes of logged rankings: the oldest days make room; what one "
            "day has beyond it is not logged.",
        ),
    ] = 2000


def rankings_folder(workspace: Workspace) -> Path:
    """Where the service logs rankings."""
    return workspace.home / FOLDER


def day_file(folder: Path, day: str) -> Path:
    """The file of this day, as in 2026-11-23."""
    return folder / f"{day}{_SUFFIX}"


def days_there(folder: Path) -> list[tuple[date, Path]]:
    """The files of the log, oldest first."""
    found = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            with suppress(ValueError):
                if path.suffix == _SUFFIX:
                    found.append((date.fromisoformat(path.stem), path))
    return sorted(found)


def make_room(folder: Path, settings: RankingLogSettings, current: Path, more: int) -> bool:
    """Delete days that are too old, and the oldest when all are too large; False: no room is left.

    current: the file that is about to grow by `more` bytes; it is never deleted.
    """
    delete_old(folder, settings)
    sizes = [(path, _size(path)) for _, path in days_there(folder)]
    over = sum(size for _, size in sizes) + more - settings.megabytes * _MEGABYTE
    for path, size in sizes:
        if over <= 0:
            break
        if path != current:
            path.unlink(missing_ok=True)
            over -= size
    return over <= 0


def delete_old(folder: Path, settings: RankingLogSettings) -> int:
    """Delete the days that are older than the settings allow; how many."""
    oldest = datetime.fromtimestamp(time.time(), UTC).date() - timedelta(days=settings.days)
    old = [path for day, path in days_there(folder) if day < oldest]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


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
        self._paths = [path for _, path in days_there(folder)]
        self._pseudonyms = names
        self._names = user, session, sessions
        self._mine: Mine | None = None

    def lines(self) -> Iterator[dict[str, Any]]:
        """Their rankings as they are logged, oldest day first."""
        for _, _, row in self._found():
            yield row

    def erase(self) -> int:
        """Overwrite their rankings on the disk; how many. Waits for what is being written now."""
        if self._pseudonyms is None or not self._paths:
            return 0
        time.sleep(SETTLE)
        erased = 0
        for path, spans in self._by_file():
            with path.open("r+b") as file:
                for start, length in spans:
                    file.seek(start)
                    file.write(b" " * length)
                file.flush()
                os.fsync(file.fileno())
            erased += len(spans)
        return erased

    def _by_file(self) -> Iterator[tuple[Path, list[tuple[int, int]]]]:
        spans: dict[Path, list[tuple[int, int]]] = {}
        for path, span, _ in self._found():
            spans.setdefault(path, []).append(span)
        yield from spans.items()

    def _found(self) -> Iterator[tuple[Path, tuple[int, int], dict[str, Any]]]:
        if self._pseudonyms is None:
            return
        self._mine = self._mine or self._whose(self._pseudonyms)
        for path in self._paths:
            for span, row in _rows(path):
                if self._mine(row):
                    yield path, span, row

    def _whose(self, pseudonyms: Pseudonyms) -> Mine:
        user, session, sessions = self._names
        if user is None:
            one = pseudonyms.session(session or "")
            return lambda row: _carried(row, "session", pseudonyms.session) == one
        name = pseudonyms.user(user)
        also = {pseudonyms.session(known) for known in sessions}
        for path in self._paths:
            also |= {
                _carried(row, "session", pseudonyms.session)
                for _, row in _rows(path)
                if _carried(row, "user", pseudonyms.user) == name and "session" in row
            }
        return lambda row: (
            _carried(row, "user", pseudonyms.user) == name
            or ("user" not in row and _carried(row, "session", pseudonyms.session) in also)
        )


def _carried(row: dict[str, Any], key: str, newest: Callable[[str], str]) -> str:
    """A line's pseudonym under the newest key: a rotation may not have come to this line."""
    found = row.get(key)
    return newest(found) if isinstance(found, str) else ""


def _rows(path: Path) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """Every line that is an object, with where it stands: its first byte and its length."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    start = 0
    try:
        with path.open("rb") as file:
            for line in file:
                with suppress(msgspec.DecodeError, UnicodeDecodeError):
                    yield (start, len(line.rstrip(b"\n"))), decode(line)
                start += len(line)
    except FileNotFoundError:  # its days are over
        return
