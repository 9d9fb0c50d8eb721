"""keyed_files.py: a home -> which of its files name shoppers by keys, looked at without any."""

import gzip
import re
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final

HISTORIES: Final = ("events/history.db", "history.db")
RANKINGS: Final = "rankings"
_PIECE: Final = 1024 * 1024  # bytes of a line that are looked at together
_SECONDS: Final = 0.5  # that another process may hold the histories for
_PSEUDONYM: Final = re.compile(rb'"(?:user|session)"\s*:\s*"~[0-9a-f]{34}"')


def written_with_keys(home: Path) -> str:
    """The files and folders, in words; "" where nothing needs a key."""
    places = [home / file for file in HISTORIES if _has_histories(home / file)]
    if _has_rankings(home / RANKINGS):
        places.append(home / RANKINGS)
    return " and ".join(map(str, places))


def _has_histories(path: Path) -> bool:
    """Damaged, or held by another process: nothing is known for sure, so yes."""
    if not path.exists():
        return False
    uri = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(uri, timeout=_SECONDS, uri=True)) as db:
            return bool(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error:
        return True


def _has_rankings(folder: Path) -> bool:
    """The first ranking of a shopper says so; a file that cannot be read may hold one."""
    for path in sorted(folder.glob("*.jsonl*")):
        if not path.is_file():  # a device has no end
            continue
        try:
            if any(map(_PSEUDONYM.search, _lines(path))):
                return True
        except (OSError, EOFError, zlib.error):
            return True
    return False


def _lines(path: Path) -> Iterator[bytes]:
    file: BinaryIO
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:  # type: ignore[assignment]
        while piece := file.readline(_PIECE):
            yield piece
