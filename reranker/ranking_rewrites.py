"""ranking_rewrites.py: files of logged rankings -> the same under newer pseudonyms.

Pseudonyms of every generation have one length, so they are overwritten where they stand: a service
goes on appending meanwhile, and what a crash left half done is done by the next run.
"""

import re
from pathlib import Path
from typing import Final, NamedTuple

from indexes.errors import Failure
from reranker.pseudonyms import Pseudonyms, generation_of
from reranker.ranking_days import day_lines, days_there, overwrite, rewrite
from reranker.ranking_files import FOLDER

_OLD_KEY: Final = "key"
_OLD_NAME: Final = re.compile(rb'("(?:user|session)":")([0-9a-f]{32}")')
_NAME: Final = re.compile(rb'("(?:user|session)"\s*:\s*")(~[0-9a-f]{34})(?=")')
_TORN: Final = re.compile(rb'"(?:user|session)"\s*:\s*"~(?![0-9a-f]{34}")')
_KEY_DIGITS: Final = 64


class Renamed(NamedTuple):
    """names: pseudonyms that were re-keyed. torn: lines that broke off in one, and were dropped."""

    names: int = 0
    torn: int = 0


def rename_in_rankings(folder: Path, names: Pseudonyms) -> Renamed:
    """Overwrite what is of an older generation, on the disk."""
    done = Renamed()
    for _, path in days_there(folder):
        names_changed, torn = _rename(path, names)
        done = Renamed(done.names + names_changed, done.torn + torn)
    return done


def _rename(path: Path, names: Pseudonyms) -> Renamed:
    changed = torn = 0

    def older(line: bytes) -> int:
        return sum(generation_of(one.decode()) < names.generation for _, one in _NAME.findall(line))

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


def holds_pseudonyms(folder: Path) -> bool:
    """Whether a ranking was written with some keys; the first one says so."""
    return any(
        _NAME.search(line.content) for _, path in days_there(folder) for line in day_lines(path)
    )


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
        rewrite(day, _in_todays_form)
    return [key]


def _in_todays_form(line: bytes) -> bytes | None:
    now = _OLD_NAME.sub(rb"\1~01\2", line)
    return None if now == line else now
