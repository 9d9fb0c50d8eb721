"""engine.py: items -> a BM25 engine in this process (tantivy), whose answers the demo re-ranks."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tantivy

_BOOSTS = {"title": 2.0, "brand": 1.0, "category": 0.5, "model": 3.0, "description": 1.0}
_MEMORY = 64_000_000  # one segment for the whole demo shop, so that row order is kept


class Engine:
    """An index in memory, or in `folder` where one is named.

    Equal scores keep the order in which the items came, so answers are the same on every run.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._index = tantivy.Index(_schema(), path=None if folder is None else str(folder))
        self._searcher = self._index.searcher()
        self._ids: list[str] = []

    def add(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Index items (DESIGN's item records), in place of those that were there."""
        writer = self._index.writer(heap_size=_MEMORY, num_threads=1)
        writer.delete_all_documents()
        self._ids = []
        for item in items:
            writer.add_document(_document(item, len(self._ids)))
            self._ids.append(str(item["id"]))
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()
        self._searcher = self._index.searcher()

    def search(self, query: str, limit: int = 100) -> list[tuple[str, float]]:
        """The best items for these words: `[(id, score), ...]`, best first."""
        return [(self._ids[row], score) for row, score in self.search_rows(query, limit)]

    def search_rows(self, query: str, limit: int = 100) -> list[tuple[int, float]]:
        """The same with each item's place in the order of adding."""
        words = " ".join(re.findall(r"\w+", query.lower()))  # nothing is left of query syntax
        if not words:
            return []
        parsed = self._index.parse_query(words, list(_BOOSTS), field_boosts=_BOOSTS)
        hits = self._searcher.search(parsed, limit, count=False).hits
        rows = self._searcher.fast_field_values("row", [address for _, address in hits])
        answer = [
            (_whole(row), round(score, 4)) for row, (score, _) in zip(rows, hits, strict=True)
        ]
        return sorted(answer, key=lambda pair: (-pair[1], pair[0]))


def _whole(row: int | float | None) -> int:
    assert row is not None  # every document has its row
    return int(row)


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", fast=True)
    for field in _BOOSTS:
        builder.add_text_field(field, tokenizer_name="en_stem")
    return builder.build()


def _document(item: Mapping[str, Any], row: int) -> tantivy.Document:
    document = tantivy.Document()
    document.add_unsigned("row", row)
    for field in ("title", "brand", "category", "description"):
        document.add_text(field, str(item.get(field) or ""))
    document.add_text("model", str((item.get("attributes") or {}).get("model") or ""))
    return document
