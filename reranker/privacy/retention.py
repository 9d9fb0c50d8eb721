"""retention.py: a home and its settings -> what is too old, and what work left, is deleted."""

import os
import shutil
import time
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec

from indexes.storage.durable import make_own_folder
from indexes.storage.locks import release, try_lock
from indexes.workspace import Workspace
from reranker.attributes.attributes import Attributes
from reranker.events.settings import HistorySettings
from reranker.experiments.shadow_files import shadows_folder
from reranker.feedback.files import delete_old, rankings_folder
from reranker.feedback.settings import RankingLogSettings
from reranker.histories.histories import Histories

_LOCK: Final = "expiry.lock"
_LEFTOVER_AGE: Final = 7 * 86_400.0  # seconds after which work that was not ended will not go on
# Files and folders of commands that were killed: joins, asides of atomic writes, checkpoints.
_LEFTOVERS: Final = (
    "events/join-*",
    "rankings/*.jsonl.[0-9]*",
    "rankings/*.jsonl.gz.[0-9]*",
    "pseudonyms/.keys.*",
    "model/work/*.new",
)


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted. leftovers: files and folders of commands that were killed."""

    events: int = 0
    days_of_rankings: int = 0
    leftovers: int = 0


def expire(workspace: Workspace, histories: Histories) -> Expired:
    """Delete events older than history.days, rankings older than rankings.days, and leftovers."""
    settings = workspace.section(RankingLogSettings)
    days = workspace.section(HistorySettings).days
    if days:
        Attributes(workspace.home).forget_before(time.time() - days * 86_400)
    return Expired(
        events=histories.forget_old(),
        days_of_rankings=delete_old(rankings_folder(workspace), settings)
        + delete_old(shadows_folder(workspace.home), settings),
        leftovers=delete_leftovers(workspace.home),
    )


def expire_when_due(workspace: Workspace, histories: Histories) -> Expired | None:
    """The same once in history.expire_hours, whoever of many processes asks first; else None."""
    hours = workspace.section(HistorySettings).expire_hours
    lock = workspace.home / "events" / _LOCK
    if not hours or not lock.parent.is_dir() and not rankings_folder(workspace).is_dir():
        return None
    make_own_folder(lock.parent)
    lock_file = try_lock(lock)
    if lock_file is None:
        return None
    try:
        status = os.fstat(lock_file)
        if status.st_size and 0 <= time.time() - status.st_mtime < hours * 3600:
            return None
        expired = expire(workspace, histories)
        os.ftruncate(lock_file, 0)
        os.pwrite(lock_file, b"done\n", 0)  # its time is when this was done last
        return expired
    finally:
        release(lock_file)


def delete_leftovers(home: Path, older: float = _LEFTOVER_AGE) -> int:
    """Delete what commands left that were killed more than so many seconds ago; how many."""
    oldest, deleted = time.time() - older, 0
    for path in chain.from_iterable(map(home.glob, _LEFTOVERS)):
        try:
            if path.stat().st_mtime >= oldest:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            deleted += 1
        except FileNotFoundError:  # another process was faster
            continue
    return deleted
