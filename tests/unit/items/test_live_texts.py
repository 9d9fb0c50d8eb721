"""Vectors of changed texts: each has a number that no other vector of its row ever has."""

from pathlib import Path

import numpy as np
import pytest

from indexes.items import live_texts
from indexes.items.columns import ColumnsWriter, ItemColumns, id_hash
from indexes.items.live_texts import LiveTexts
from indexes.items.records import Item
from indexes.items.text import text_digest

ROWS = np.arange(3)


def say(live: LiveTexts, columns: ItemColumns, row: int, title: str) -> int:
    """Change a title and take up its vector; the number of the row's vector then."""
    columns.change(row, {"title": title})
    live.change_row(row)
    live.take({text_digest(title): np.full(2, len(title), np.float32)})
    return int(live.versions(ROWS)[row])


def test_a_vector_has_a_number_of_its_own_after_a_tidying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_texts, "_SLACK", 2)  # replaced vectors that are kept
    writer = ColumnsWriter(tmp_path)
    for row in ROWS.tolist():
        writer.add(Item(id=f"i{row}", title="as it was"), id_hash(f"i{row}"))
    writer.finish()
    columns = ItemColumns(tmp_path)
    live = LiveTexts("{title}", columns, len(ROWS), 2)
    assert live.versions(ROWS).tolist() == [0, 1, 2]
    seen = {(row, say(live, columns, row, "x" * (3 + row))) for row in (0, 1)}
    for length in range(5, 25):  # of one title; the other vector stays, under whatever number
        seen.add((0, say(live, columns, 0, "x" * length)))
    assert len(seen) == 22
    vectors = np.zeros((3, 2), np.float32)
    live.lay_over(ROWS, vectors)
    assert vectors[:, 0].tolist() == [24, 4, 0]
    columns.change(0, {"title": "as it was"})
    assert live.change_row(0)
    assert live.versions(ROWS)[0] == 0
