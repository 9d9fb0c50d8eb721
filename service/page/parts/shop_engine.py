"""shop_engine.py: a demo home -> the search engine that its shop uses, made when first asked."""

import gzip
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from reranker.requests import Candidate
from service.page.parts.request_sets import ITEMS

if TYPE_CHECKING:
    from service.page.parts.engine import Engine

T = TypeVar("T")
MOST: Final = 200  # candidates of one search: what a shop would re-rank


class ShopEngine:
    """BM25 over <home>/data/items.jsonl.gz; absent where there are no such items, or no tantivy."""

    def __init__(self, home: Path) -> None:
        self._items = home / "data" / ITEMS
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self.available = self._items.is_file() and find_spec("tantivy") is not None

    def search(self, query: str) -> list[Candidate]:
        """The candidates for a query, best first; none where there is no engine."""
        if not self.available:
            return []
        return [Candidate(item, score) for item, score in self._opened().search(query, MOST)]

    def _opened(self) -> "Engine":
        with self._lock:
            if self._engine is None:
                from service.page.parts.engine import Engine

                engine = Engine()
                engine.add(read_lines(self._items, dict[str, Any]))
                self._engine = engine
            return self._engine


def read_lines(path: Path, kind: type[T]) -> Iterator[T]:
    """The objects of a packed file of the demo's, one a line."""
    decoder = msgspec.json.Decoder(kind)
    with gzip.open(path, "rb") as file:
        yield from (decoder.decode(line) for line in file)
