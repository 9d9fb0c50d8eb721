"""kept_rankings.py: an answer that top_n cut -> the whole order, for all workers, for 15 minutes.

Files in the folder in which the workers of one start meet, in memory as a rule. An id begins with
its time, so that the minute's folder is known by it, and a minute that is over goes as one.
"""

import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from reranker.ranking.ranking import BlendName, Degraded, Ranked
from reranker.runtime.caches import RecentlyUsed

MINUTES: Final = 15
_FOLDER: Final = "kept-rankings"
_ID: Final = re.compile(r"[0-9a-f]{32}")
_TIME_DIGITS: Final = 12
_MINUTE_MS: Final = 60_000


class KeptRanking(msgspec.Struct, frozen=True, array_like=True):
    """The whole of a ranking, with what its answer said of it."""

    results: list[Ranked]
    blend: BlendName
    versions: dict[str, str | None]
    degraded: list[Degraded]


class KeptRankings:
    """folder: shared by the workers; None where there is only this process. most: of one worker."""

    def __init__(self, folder: Path | None, most: int) -> None:
        self._folder = folder / _FOLDER if folder else None
        self._memory: RecentlyUsed[str, KeptRanking] = RecentlyUsed(most, MINUTES * 60)
        self._most = -(-most // MINUTES)  # in one minute
        self._minute, self._count = 0, 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode: Any = msgspec.msgpack.Decoder(KeptRanking).decode

    @property
    def keeps(self) -> bool:
        """Whether one more would be kept now."""
        return self._most > 0 and (self._count < self._most or self._minute != _now())

    def add(self, ranking_id: str, kept: KeptRanking) -> None:
        """Keep it, unless this minute has enough; a disk that is full keeps none."""
        now = _now()
        if now != self._minute:
            self._minute, self._count = now, 0
            self._drop_old(now)
        if self._count >= self._most:
            return
        self._count += 1
        if self._folder is None:
            self._memory.put(ranking_id, kept)
            return
        path = _path(self._folder, ranking_id)
        with suppress(OSError):
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            path.write_bytes(self._encode(kept))

    def get(self, ranking_id: str) -> KeptRanking | None:
        """The ranking; None where it was not kept, or 15 minutes ago."""
        if not _ID.fullmatch(ranking_id) or not 0 <= _now() - _minute_of(ranking_id) <= MINUTES:
            return None
        if self._folder is None:
            return self._memory.get(ranking_id)
        try:
            found: KeptRanking = self._decode(_path(self._folder, ranking_id).read_bytes())
        except (OSError, msgspec.DecodeError):  # the latter: it is just being written
            return None
        return found

    def _drop_old(self, now: int) -> None:
        if self._folder is None:
            return
        with suppress(OSError):
            for folder in self._folder.iterdir():
                if folder.name.isdigit() and int(folder.name) < now - MINUTES:
                    shutil.rmtree(folder, ignore_errors=True)


def _path(folder: Path, ranking_id: str) -> Path:
    return folder / str(_minute_of(ranking_id)) / ranking_id


def _now() -> int:
    return int(time.time() * 1000) // _MINUTE_MS


def _minute_of(ranking_id: str) -> int:
    return int(ranking_id[:_TIME_DIGITS], 16) // _MINUTE_MS
