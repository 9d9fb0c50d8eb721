"""Ids, rows, vectors, columns: written once, mapped, and the same when read back."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.items.columns import ColumnsWriter, ItemColumns, ItemIds, id_hash, title_key
from indexes.items.index import build_faiss, vector_reader
from indexes.items.records import Item
from indexes.items.words import word_hashes
from indexes.storage import arrays
from indexes.storage.arrays import Ragged, Runs, save_ragged

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def write_items(folder: Path, items: list[Item]) -> None:
    writer = ColumnsWriter(folder)
    for item in items:
        writer.add(item, id_hash(item.id))
    writer.finish()


@settings(max_examples=30, deadline=None)
@given(known=st.lists(IDS, min_size=1, max_size=40, unique=True), others=st.lists(IDS, max_size=10))
def test_every_id_finds_its_row_and_no_stranger_finds_one(
    tmp_path_factory: pytest.TempPathFactory, known: list[str], others: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("ids")
    write_items(folder, [Item(id=item_id, title="x") for item_id in known])
    ids = ItemIds(folder)
    assert ids.rows(known).tolist() == list(range(len(known)))
    assert ids.ids(np.arange(len(known))) == known
    strangers = [item_id for item_id in others if item_id not in known]
    assert ids.rows(strangers).tolist() == [-1] * len(strangers)
    assert ids.rows([]).tolist() == []


def test_columns_hold_what_the_catalogue_said(tmp_path: Path) -> None:
    items = [
        Item(
            id="a", title="Red Shoes", brand="North Peak", price=9.5, updated=100.0, available=True
        ),
        Item(id="b", title="WF-1000XM4", attributes={"mpn": "ZX81-99"}, available=False),
        Item(id="c", title="plain"),
    ]
    write_items(tmp_path, items)
    columns = ItemColumns(tmp_path)
    assert columns.available.tolist() == [1, 0, -1]
    assert columns.price[:1].tolist() == [9.5] and np.isnan(columns.price[1:]).all()
    assert columns.updated[0] == 100.0 and np.isnan(columns.updated[1:]).all()
    assert [columns.item(row) for row in range(3)] == items
    assert columns.title_keys[0] == title_key("red shoe")
    codes, owner = columns.codes.gather(np.array([1]))
    assert set(word_hashes({"wf1000xm4", "zx8199"}).tolist()) <= set(codes.tolist())
    assert set(owner.tolist()) == {0}


def test_other_words_are_those_that_the_title_lacks(tmp_path: Path) -> None:
    attributes = {"wireless": True, "wired": False, "colour": "deep blue"}
    mouse = Item(
        id="m",
        title="Blue mouse",
        brand="Pico",
        category="Desk > Mice",
        description="<b>For</b> travel",
        attributes=attributes,
    )
    book = Item(id="b", title="Book", description=" ".join(f"word{n}" for n in range(5_000)))
    write_items(tmp_path, [mouse, book])
    other_words = ItemColumns(tmp_path).other_words
    assert other_words is not None
    words, owner = other_words.gather(np.array([0, 1]))
    expected = {"pico", "desk", "mice", "wireless", "deep", "for", "travel"}
    assert words[owner == 0].tolist() == word_hashes(expected).tolist()
    assert (owner == 1).sum() == 128  # a description may be a book


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=5), min_size=1, max_size=10),
    data=st.data(),
)
def test_ragged_gathers_any_rows_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[int]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("ragged")
    flat = [value for row in rows for value in row]
    save_ragged(folder, "numbers", flat, [len(row) for row in rows], np.uint32)
    asked = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12))
    values, owner = Ragged[np.uint32](folder, "numbers").gather(np.array(asked, dtype=np.int64))
    assert values.tolist() == [value for row in asked for value in rows[row]]
    assert owner.tolist() == [place for place, row in enumerate(asked) for _ in rows[row]]


def test_runs_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "none.bin").write_bytes(b"")
    arrays.save(tmp_path / "none.at.npy", arrays.offsets([0, 0]))
    runs = Runs(tmp_path, "none")
    assert len(runs) == 2 and runs.get_many(np.array([1, 0])) == [b"", b""]


@pytest.mark.parametrize("factory", ["Flat", "SQbf16", "SQfp16", "SQ8", "IVF4,SQ8", "HNSW8"])
def test_vectors_by_row_agree_with_faiss(tmp_path: Path, factory: str) -> None:
    vectors = np.random.default_rng(1).normal(size=(500, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = build_faiss(factory, 32, vectors)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "x.faiss"))
    mapped = faiss.read_index(str(tmp_path / "x.faiss"), faiss.IO_FLAG_MMAP_IFC)
    rows = np.array([7, 499, 0, 7])
    found = vector_reader(mapped)(rows)
    assert np.array_equal(found, mapped.reconstruct_batch(rows))
    assert (found * vectors[rows]).sum(axis=1) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("factory", ["Nonsense", "IVF4096,Flat"])
def test_a_factory_that_cannot_work_names_itself(factory: str) -> None:
    with pytest.raises(Failure, match=f"index.factory.*{factory}"):
        build_faiss(factory, 32, np.eye(32, dtype=np.float32))
