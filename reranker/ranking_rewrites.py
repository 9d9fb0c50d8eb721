"""ranking_rewrites.py: files of logged rankings -> the same under newer pseudonyms.

Pseudonyms of every generation have one length, so they are overwritten where they stand: a service
goes on appending meanwhile, and what a crash left half done is done by the next run.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from indexes.durable import replace_synced
from indexes.errors import Failure
from reranker.pseudonyms import Pseudonyms, generation_of
from reranker.ranking_files import FOLDER, days_there

_OLD_KEY: Final = "key"
_OLD_NAME: Final = re.compile(rb'("(?:user|session)":")([0-9a-f]{32}")')
_NAME: Final = re.compile(rb'(?<="user":")~[0-9a-f]{34}(?=")|(?<="session":")~[0-9a-f]{34}(?=")')
_KEY_DIGITS: Final = 64
_OWNER_ONLY: Final = 0o600


def rename_in_rankings(folder: Path, names: Pseudonyms) -> int:
    """Overwrite what is of an older generation, on the disk; how many pseudonyms."""
    return sum(_rename(path, names) for _, path in days_there(folder))


def _rename(path: Path, names: Pseudonyms) -> int:
    changed = 0
    try:
        with path.open("r+b") as file:
            for start, old in _older(path, names.generation):
                file.seek(start)
                file.write(names.user(old).encode())  # of a session as well: both only go on
                changed += 1
            file.flush()
            os.fsync(file.fileno())
    except FileNotFoundError:  # its days are over
        return changed
    return changed


def _older(path: Path, generation: int) -> Iterator[tuple[int, str]]:
    start = 0
    with path.open("rb") as file:
        for line in file:
            for found in _NAME.finditer(line):
                name = found[0].decode()
                if generation_of(name) < generation:
                    yield start + found.start(), name
            start += len(line)


def old_key(home: Path) -> Path:
    """Where an earlier release kept the key of the rankings."""
    return home / FOLDER / _OLD_KEY


def adopted(home: Path) -> list[bytes]:
    """The earlier key as the first one, with the names it made in today's form; [] without."""
    path = old_key(home)
    try:
        digits = path.read_text("ascii").strip()
        key = bytes.fromhex(digits)
    except FileNotFoundError:
        return []
    except ValueError:
        digits, key = "", b""
    if len(digits) != _KEY_DIGITS:
        raise Failure(
            f"{path} is damaged: {_KEY_DIGITS} hex digits are expected.",
            hint="Restore it from a backup; or delete it with the .jsonl files beside it, which "
            "nobody can be recognised in without it.",
        )
    for _, day in days_there(path.parent):
        was = day.read_bytes()
        now = _OLD_NAME.sub(rb"\1~01\2", was)
        if now != was:
            replace_synced(day, now, _OWNER_ONLY)
    return [key]
