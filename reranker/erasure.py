"""erasure.py: names of a shopper -> the files of the home that still hold one (none, after forget).

The proof that `forget` gives: every byte of every file is read again.
"""

import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

MIN_LENGTH: Final = 6  # shorter ids occur by chance in any file


class Searched(msgspec.Struct, frozen=True):
    """What was looked through, and which files hold a name. scanned: from the home, with sizes."""

    files: int
    bytes: int
    found: list[str]
    scanned: dict[str, int]


def can_be_searched(name: str) -> bool:
    """Whether finding these characters in a file would mean anything."""
    return len(name.encode("utf-8", "surrogatepass")) >= MIN_LENGTH


def search_home(home: Path, names: Iterable[str]) -> Searched:
    """Look for names in every file, as text and as JSON writes it; those too short are left out."""
    needles = set()
    for name in filter(can_be_searched, names):
        needles |= {name.encode("utf-8", "surrogatepass"), msgspec.json.encode(name)[1:-1]}
    found, scanned = [], {}
    for path in sorted(home.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        where = str(path.relative_to(home))
        scanned[where] = path.stat().st_size
        if _holds(path, needles):
            found.append(where)
    return Searched(len(scanned), sum(scanned.values()), found, scanned)


def _holds(path: Path, needles: set[bytes]) -> bool:
    with path.open("rb") as file:
        if not path.stat().st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(needle) >= 0 for needle in needles)
