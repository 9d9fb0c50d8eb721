"""folders.py: a home -> what of it names shoppers, closed to other accounts.

What the code makes is closed from the beginning (indexes/storage/durable.py). What an earlier
release, a person or another program put there may not be.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

PRIVATE: Final = (
    *("events", "rankings", "shadows", "requests", "jobs", "drift"),
    *("pseudonyms", "keys"),
)
_OTHERS: Final = 0o077


def open_to_others(home: Path) -> Iterator[Path]:
    """Folders and files in PRIVATE that others may read, write or enter; links are not followed."""
    for name in PRIVATE:
        folder = home / name
        for path in (folder, *(folder.rglob("*") if folder.is_dir() else ())):
            with suppress(OSError):
                mode = path.lstat().st_mode
                if mode & _OTHERS and (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                    yield path


def close_to_others(home: Path) -> int:
    """Close them; how many. What belongs to another account stays as it is: doctor names it."""
    closed = 0
    for path in list(open_to_others(home)):
        with suppress(OSError):
            os.chmod(path, stat.S_IMODE(path.lstat().st_mode) & ~_OTHERS)
            closed += 1
    return closed
