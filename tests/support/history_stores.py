"""history_stores.py: a folder -> histories in it, in a file or in a Redis."""

from pathlib import Path
from typing import Protocol

from reranker.events.settings import HistorySettings
from reranker.histories.histories import Histories
from reranker.histories.store import SqliteHistories
from reranker.pseudonyms.keys import PseudonymKeys


class MakeStore(Protocol):
    """Histories in a folder; the same folder again opens the same."""

    def __call__(
        self,
        folder: Path,
        settings: HistorySettings | None = None,
        keys: PseudonymKeys | None = None,
    ) -> Histories: ...


def sqlite_store(
    folder: Path, settings: HistorySettings | None = None, keys: PseudonymKeys | None = None
) -> Histories:
    return SqliteHistories(folder, settings or HistorySettings(), keys)
