"""ranking_rewrites.py: files of logged rankings -> the same under newer pseudonyms.

Pseudonyms of every generation have one length, so they are overwritten where they stand: a service
goes on appending meanwhile, and what a crash left half done is done by the next run.
"""

import re
from pathlib import Path
from typing import Final, NamedTuple

from reranker.feedback.days import days_there, overwrite
from reranker.pseudonyms.pseudonyms import Pseudonyms, generation_of

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
