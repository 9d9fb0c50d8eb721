"""erasure.py: a shopper's id -> the files of the home that still hold it (none, after forget)."""

import mmap
from pathlib import Path
from typing import Final

import msgspec

MIN_LENGTH: Final = 6  # shorter ids occur by chance in any file


class Searched(msgspec.Struct, frozen=True):
    """The proof: what was looked through, and where the id was found."""

    files: int
    bytes: int
    found: list[str]


def search_home(home: Path, name: str) -> Searched | None:
    """Look for an id in every file; None for one so short that finding it would mean nothing."""
    if len(name.encode()) < MIN_LENGTH:
        return None
    needles = {name.encode(), msgspec.json.encode(name)[1:-1]}
    files = size = 0
    found = []
    for path in sorted(home.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        files += 1
        size += path.stat().st_size
        if _holds(path, needles):
            found.append(str(path.relative_to(home)))
    return Searched(files, size, found)


def _holds(path: Path, needles: set[bytes]) -> bool:
    with path.open("rb") as file:
        if not path.stat().st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(needle) >= 0 for needle in needles)
