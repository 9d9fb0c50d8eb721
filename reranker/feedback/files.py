"""files.py: settings and the folder of logged rankings -> how much of it is kept."""

import os
import re
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from indexes.workspace import Workspace
from reranker.feedback.days import kept_since, logged_days, overwrite
from reranker.feedback.settings import RankingLogSettings
from reranker.pseudonyms.pseudonyms import Pseudonyms, generation_of

_NAME: Final = re.compile(rb'("(?:user|session)"\s*:\s*")(~[0-9a-f]{34})(?=")')
_TORN: Final = re.compile(rb'"(?:user|session)"\s*:\s*"~(?![0-9a-f]{34}")')

FOLDER: Final = "rankings"
_MEGABYTE: Final = 1_000_000


def rankings_folder(workspace: Workspace) -> Path:
    """Where the service logs rankings."""
    return workspace.home / FOLDER


def make_room(folder: Path, settings: RankingLogSettings, current: Path, more: int) -> bool:
    """Delete days that are too old, and the oldest when all are too large; False: no room is left.

    current: the file that is about to grow by `more` bytes; it is never deleted.
    """
    delete_old(folder, settings)
    sizes = [(path, _size(path)) for _, path in logged_days(folder)]
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
    today = _day_of(time.time())
    oldest = today - timedelta(days=settings.days)
    old = [
        path
        for day, path in logged_days(folder)
        if (kept_since(path) or _written(path, day, today)) < oldest
    ]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _written(path: Path, day: date, today: date) -> date:
    """The day of a file; of one from the future, the day on which that was noticed first.

    A clock that was ahead wrote it. It would be kept for as long as the clock was wrong, and its
    days more; the time of the file notes when they begin.
    """
    if day <= today + timedelta(days=1):
        return day
    now = time.time()
    try:
        noticed = path.stat().st_mtime
        if noticed > now:
            noticed = now
            os.utime(path, (now, now))
    except OSError:  # gone, or of another account
        return today
    return _day_of(noticed)


def _day_of(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def room_for(folder: Path, settings: RankingLogSettings) -> int:
    """Bytes that rankings.megabytes leaves beside what is logged already."""
    return settings.megabytes * _MEGABYTE - sum(_size(path) for _, path in logged_days(folder))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Renamed(NamedTuple):
    """names: pseudonyms that were re-keyed. torn: lines that broke off in one, and were dropped."""

    names: int = 0
    torn: int = 0


def rename_in_rankings(folder: Path, names: Pseudonyms) -> Renamed:
    """Overwrite what is of an older generation, on the disk."""
    total = Renamed()
    for _, path in logged_days(folder):
        names_changed, torn = _rename(path, names)
        total = Renamed(total.names + names_changed, total.torn + torn)
    return total


def _rename(path: Path, names: Pseudonyms) -> Renamed:
    changed = torn = 0

    def older(line: bytes) -> int:
        return sum(
            generation_of(name.decode()) < names.generation for _, name in _NAME.findall(line)
        )

    def newer(line: bytes) -> bytes | None:
        if _TORN.search(line):  # nobody could ever find it again
            return b" " * len(line)
        # Of a session as well as of a user: both only go on.
        now = _NAME.sub(lambda match: match[1] + names.user(match[2].decode()).encode(), line)
        return now if older(line) else None

    def count(line: bytes) -> None:
        nonlocal changed, torn
        if _TORN.search(line):
            torn += 1
        else:
            changed += older(line)

    overwrite(path, newer, count)
    return Renamed(changed, torn)
