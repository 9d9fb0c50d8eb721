"""Catalogue files as shops really write them: each line is an item or is reported."""

import csv
import gzip
import io
import json
import math
import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.items.records import Item, read_items
from indexes.items.values import null_word
from indexes.names import normalised
from indexes.readers.bad_lines import BadLine

pa = pytest.importorskip("pyarrow", reason="Parquet needs the extra `parquet`")
pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs the extra `parquet`")

BOM = b"\xef\xbb\xbf"
Numbered = list[tuple[int, Item]]


def read(path: Path) -> tuple[Numbered, list[BadLine]]:
    bad: list[BadLine] = []
    return list(read_items(path, bad.append)), bad


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def file(content: bytes | str, name: str = "items.jsonl") -> Path:
        raw = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return tmp_path / name

    return file


def parquet(rows: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(rows), sink)
    return sink.getvalue()


FULL = {
    "id": "p1",
    "title": "Red mug",
    "description": "Holds tea",
    "brand": "Acme",
    "category": "Home > Kitchen",
    "price": 12.5,
    "image": "https://example.org/p1.jpg",
    "attributes": {"colour": "red", "volume": 300},
    "updated": "2026-11-23T10:00:00+02:00",
    "available": True,
    "season": "autumn",
}
FULL_ITEM = Item(
    id="p1",
    title="Red mug",
    description="Holds tea",
    brand="Acme",
    category="Home > Kitchen",
    price=12.5,
    image="https://example.org/p1.jpg",
    attributes={"colour": "red", "volume": 300},
    updated=datetime(2026, 11, 23, 8, tzinfo=UTC).timestamp(),
    available=True,
    extra={"season": "autumn"},
)


def as_csv(row: dict[str, Any], delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(row)
    writer.writerow(
        json.dumps(cell) if isinstance(cell, dict) else str(cell).lower() if cell is True else cell
        for cell in row.values()
    )
    return out.getvalue()


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("items.jsonl", json.dumps(FULL).encode()),
        ("items.csv", as_csv(FULL).encode()),
        ("semicolons.csv", as_csv(FULL, ";").encode()),
        ("tabs.csv", as_csv(FULL, "\t").encode()),
        ("items.parquet", parquet({name: [value] for name, value in FULL.items()})),
    ],
)
def test_every_format_gives_the_same_item(
    file: Callable[..., Path], name: str, content: bytes, packed: str
) -> None:
    found, bad = read(file(content, name + packed))
    assert not bad
    assert [item for _, item in found] == [FULL_ITEM]


BAD_LINES: list[tuple[bytes, str]] = [
    (b'{"title": "x"}', "id is missing"),
    (b'{"id": null, "title": "x"}', "id is missing"),
    (b'{"id": "  ", "title": "x"}', "id is blank"),
    (b'{"id": 1.5, "title": "x"}', "id is 1.5; a text is expected"),
    (b'{"id": true, "title": "x"}', "id is True; a text is expected"),
    (b'{"id": {"a": 1}, "title": "x"}', "id is {'a': 1}; a text is expected"),
    (b'{"id": "a\\u0000b", "title": "x"}', "id 'a\\x00b' holds the character U+0000"),
    (b'{"id": "%s", "title": "x"}' % (b"i" * 600), "id has 600 characters; at most 512"),
    (b'{"id": "\\ud800", "title": "x"}', "not valid JSON: unexpected end of escaped utf-16"),
    (b'{"id": "1"}', "title is missing"),
    (b'{"id": "1", "title": " \\t"}', "title is blank"),
    (b'{"id": "1", "title": ["x", "y"]}', "title is ['x', 'y']; a text is expected"),
    (
        b'{"id": "1", "title": "%s"}' % (b"x" * 1_000_000),
        "title has 1000000 characters, at most 10",
    ),
    (b'{"id": "1", "title": "x", "price": 1e999}', "not valid JSON: Number out of range"),
    (b'{"id": "1", "title": "x"', "the JSON ends in the middle"),
    (b'{"id": "1", "title": "half of a li', "the JSON ends in the middle"),
    (b'{"id": "1" "title": "x"}', "not valid JSON: expected ',' or '}' (byte 11)"),
    (b'{"id": "1", "title": "caf\xe9"}', "byte 26 (0xe9) is not valid UTF-8"),
    (b'"a string"', "the line holds a JSON string; an object is expected"),
    (b"[1, 2]", "the line holds a JSON array; an object is expected"),
    (b"null", "the line holds a JSON null; an object is expected"),
    (b"17", "the line holds a JSON number; an object is expected"),
    (b"[" * 100_000, "the JSON is nested too deeply"),
    (b'{"a":' * 100_000, "the JSON is nested too deeply"),
    (b"not json", "not valid JSON: invalid character"),
]


@pytest.mark.promise(12)
@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=[reason for _, reason in BAD_LINES])
def test_a_bad_line_is_reported_and_the_others_are_read(
    file: Callable[..., Path], line: bytes, reason: str
) -> None:
    good = '{"id": "g%d", "title": "gööd"}\n'.encode()  # so the file is UTF-8
    found, bad = read(file(good % 1 + b"\n \r\n" + line + b"\n" + good % 2))
    assert [(number, item.id) for number, item in found] == [(1, "g1"), (5, "g2")]
    assert [entry.line for entry in bad] == [4]
    assert bad[0].reason.startswith(reason)
    assert len(bad[0].reason) < 300


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"id": 17}, {"id": "17"}),
        ({"id": 10**30}, {"id": "1" + "0" * 30}),
        ({"id": " p 1 "}, {"id": "p 1"}),
        ({"id": "ид/ü 😀\u00a0x"}, {"id": "ид/ü 😀\u00a0x"}),
        ({"title": " 1984 "}, {"title": "1984"}),
        ({"title": 1984}, {"title": "1984"}),
        ({"brand": None, "description": None, "image": None}, {}),
        ({"brand": 3.0, "description": 4.5}, {"brand": "3", "description": "4.5"}),
        ({"category": ["A", "B", 3]}, {"category": "A > B > 3"}),
        ({"price": None}, {"price": None}),
        ({"price": 0}, {"price": 0.0}),
        ({"price": "19.90"}, {"price": 19.9}),
        ({"updated": 1_700_000_000}, {"updated": 1.7e9}),
        ({"updated": "1700000000"}, {"updated": 1.7e9}),
        ({"updated": "2026-11-23T10:00:00Z"}, {"updated": 1_795_428_000.0}),
        ({"updated": "2026-11-23T10:00:00"}, {"updated": 1_795_428_000.0}),
        ({"updated": "2026-11-23"}, {"updated": 1_795_392_000.0}),
        ({"available": 0}, {"available": False}),
        ({"available": "Yes"}, {"available": True}),
        ({"attributes": {"n": 10**25, "l": [1, {"x": 10**25}]}},
         {"attributes": {"n": "1" + "0" * 25, "l": [1, {"x": "1" + "0" * 25}]}}),
        ({"size": 3, "tags": ["a"]}, {"extra": {"size": 3, "tags": ["a"]}}),
        ({"id": 17.0}, {"id": "17"}),
        ({"price": math.nan}, {"price": None}),
        ({"extra": "mine"}, {"extra": {"extra": "mine"}}),
    ],
)  # fmt: skip
def test_values_are_read_as_meant(
    file: Callable[..., Path], values: dict[str, Any], expected: dict[str, Any]
) -> None:
    found, bad = read(file(json.dumps({"id": "1", "title": "x"} | values)))
    assert not bad
    assert found[0][1] == Item(**({"id": "1", "title": "x"} | expected))


@pytest.mark.promise(12)
def test_no_depth_of_nesting_ends_the_reading(file: Callable[..., Path]) -> None:
    """Python's own limit lies near 1,000: whatever of it is left, a line costs only itself."""
    for depth in range(900, 1010):
        nested = "[" * depth + "]" * depth
        line = f'{{"id": "1", "title": {nested}}}\n'
        items, bad = read(file(line + '{"id": "2", "title": "x"}\n'))
        assert [item.id for _, item in items] == ["2"] and len(bad) == 1, depth


@pytest.mark.promise(12)
def test_a_line_above_the_limit_is_passed_over_without_being_held(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    with path.open("wb") as out:
        out.write(b'{"id": "1", "title": "')
        for _ in range(64):
            out.write(b"x" * 1_000_000)
        out.write(b'"}\n{"id": "2", "title": "good"}')
    tracemalloc.start()
    found, bad = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bad == [BadLine(1, "the line is longer than 8,388,608 bytes")]
    assert [(number, item.id) for number, item in found] == [(2, "2")]
    assert peak < 30_000_000


@pytest.mark.parametrize("name", ["items.jsonl", "items.csv.gz", "items.parquet"])
def test_reading_streams(file: Callable[..., Path], name: str) -> None:
    rows = [{"id": str(n), "title": f"{n} " + "word " * 60} for n in range(6000)]
    content: bytes = {
        "items.jsonl": lambda: "\n".join(map(json.dumps, rows)).encode(),
        "items.csv.gz": lambda: ("id,title\n" + "\n".join(
            f"{row['id']},{row['title']}" for row in rows)).encode(),
        "items.parquet": lambda: parquet(
            {key: [row[key] for row in rows] for key in ("id", "title")}),
    }[name]()  # fmt: skip
    path = file(content, name)
    next(read_items(path, print))  # imports, once
    tracemalloc.start()
    count = sum(1 for _ in read_items(path, print))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 6000
    assert peak < 1_500_000  # the file holds 1.9 MB of text, its items four times as much


def test_bom_and_windows_line_ends_are_accepted(file: Callable[..., Path]) -> None:
    line = '{"id": "1", "title": "x"}\r\n'
    for content, name in (
        ("\ufeff" + line, "items.jsonl"),
        ("\ufeffid,title\r\n1,x\r\n", "items.csv"),
        ('\ufeff"id","title"\r\n1,x\r\n', "items.csv"),
    ):
        found, bad = read(file(content, name))
        assert not bad
        assert [item for _, item in found] == [Item("1", "x")]


# CSV


def test_csv_rows_over_many_lines_keep_their_first_line_number(file: Callable[..., Path]) -> None:
    content = 'id,title,description\n1,x,"two\nlines"\n2,y\n3,z,"say ""hi"""\n\n,,\n4,,d\n'
    found, bad = read(file(content, "items.csv"))
    assert [(number, item.id, item.description) for number, item in found] == [
        (2, "1", "two\nlines"),
        (5, "3", 'say "hi"'),
    ]
    assert bad == [
        BadLine(4, "the row has 2 cells, the header has 3"),
        BadLine(8, "title is missing"),
    ]


def test_csv_cells(file: Callable[..., Path]) -> None:
    content = (
        "id,title,price,available,updated,attributes,season\n"
        '1,a,,,,,\n2,b,3.5,no,2026-11-23,"{""colour"": ""red""}",winter\n'
        "3,c,free,,,,\n4,d,,maybe,,,\n5,e,,,,red,\n"
    )
    found, bad = read(file(content, "items.csv"))
    day = datetime(2026, 11, 23, tzinfo=UTC).timestamp()
    expected = Item("2", "b", price=3.5, available=False, updated=day)
    assert found[0][1] == Item("1", "a")
    assert (found[1][1].price, found[1][1].available, found[1][1].updated) == (
        expected.price, expected.available, expected.updated,
    )  # fmt: skip
    assert found[1][1].attributes == {"colour": "red"}
    assert found[1][1].extra == {"season": "winter"}
    assert not bad
    assert found[2:] == [(4, Item("3", "c")), (5, Item("4", "d")), (6, Item("5", "e"))]


def test_columns_without_a_name_are_left_out(file: Callable[..., Path]) -> None:
    found, bad = read(file("id, title ,,price,\n1,a,note, ,\n2,b,,3,x\n", "ITEMS.CSV"))
    assert not bad
    assert [item for _, item in found] == [Item("1", "a"), Item("2", "b", price=3.0)]


@pytest.mark.promise(12)
def test_a_quote_that_is_not_closed_costs_one_line(file: Callable[..., Path]) -> None:
    rows = "".join(f"{n},item {n}\n" for n in range(3, 2000))
    found, bad = read(file(f'id,title\n1,one\n2,"two\n{rows}', "items.csv"))
    assert bad == [BadLine(3, "a quote opens a cell and is not closed")]
    assert [number for number, _ in found] == [2, *range(4, 2001)]


def test_a_quote_that_is_not_closed_at_the_end_costs_one_line(file: Callable[..., Path]) -> None:
    found, bad = read(file('id,title\n1,one\n2,"two\n3,three\n', "items.csv"))
    assert bad == [BadLine(3, "a quote opens a cell and is not closed")]
    assert [number for number, _ in found] == [2, 4]


@pytest.mark.promise(12)
def test_csv_bytes_that_are_no_text(file: Callable[..., Path]) -> None:
    content = b'id,title\n1,caf\xe9\n2,"two\nl\xe9nes"\n3,\xef\xbf\xbd\n4,d\n'
    found, bad = read(file(content, "items.csv"))
    assert bad == [
        BadLine(2, "byte 6 of line 2 (0xe9) is not valid UTF-8"),
        BadLine(3, "byte 2 of line 4 (0xe9) is not valid UTF-8"),
    ]
    assert [number for number, _ in found] == [5, 6]  # U+FFFD itself is a character


def test_a_long_cell_is_read_and_a_longer_one_reported(file: Callable[..., Path]) -> None:
    long = "x" * 500_000
    content = f"id,title,description\n1,a,{long}\n2,{long},d\n3,c,{long * 3}\n"
    found, bad = read(file(content, "items.csv"))
    assert [(item.id, len(item.description)) for _, item in found] == [("1", 500_000), ("3", 0)]
    assert bad == [BadLine(3, "title has 500000 characters, at most 10000 are allowed")]


def test_text_after_a_closing_quote_is_reported(file: Callable[..., Path]) -> None:
    found, bad = read(file('id,title\n1,"red" mug\n2,5" screen\n', "items.csv"))
    assert [item.title for _, item in found] == ['5" screen']
    assert bad[0].line == 2
    assert bad[0].reason.startswith("the row is not valid CSV")


# Parquet


def test_parquet_values(file: Callable[..., Path]) -> None:
    content = parquet(
        {
            "id": pa.array([1, 2, 3], pa.int64()),
            "title": ["a", "b", None],
            "price": pa.array([Decimal("1.50"), None, None], pa.decimal128(6, 2)),
            "updated": pa.array(
                [1_795_428_000_123_456_789, None, None], pa.timestamp("ns", tz="UTC")
            ),
            "attributes": pa.array([[("colour", "red")], None, None], pa.map_("string", "string")),
            "stock": [float("nan"), 2.0, 3.0],
            "since": [date(2026, 1, 2), None, None],
            "blob": [b"x", None, None],
        }
    )
    found, bad = read(file(content, "items.parquet"))
    assert bad == [BadLine(3, "title is missing")]
    first, second = (item for _, item in found)
    assert (first.id, first.price, first.attributes) == ("1", 1.5, {"colour": "red"})
    assert first.updated == pytest.approx(1_795_428_000.123456)
    assert first.extra == {"since": "2026-01-02", "blob": "x"}
    assert second == Item("2", "b", available=True)


def test_parquet_ids_that_became_fractions_are_the_numbers(file: Callable[..., Path]) -> None:
    path = file(parquet({"id": [1.0, float("nan")], "title": ["a", "b"]}), "items.parquet")
    assert read(path) == ([(1, Item("1", "a"))], [BadLine(2, "id is missing")])


def test_a_parquet_cell_that_is_no_text_costs_one_row(file: Callable[..., Path]) -> None:
    titles = pa.array([b"a", b"\xff", b"c"], pa.binary()).view(pa.string())
    found, bad = read(file(parquet({"id": ["1", "2", "3"], "title": titles}), "items.parquet"))
    assert [number for number, _ in found] == [1, 3]
    assert bad == [BadLine(2, "a cell is not valid UTF-8")]


def test_parquet_without_pyarrow_names_the_extra(
    file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(parquet({"id": ["1"], "title": ["a"]}), "items.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Failure, match=r"pip install 'shop-reranker\[parquet\]'"):
        read(path)


# Files as a whole


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("items.xml", b"<a/>", r"ends in '.xml'; allowed are .jsonl, .csv, .parquet"),
        ("items", b"", r"ends in 'no suffix'; allowed are"),
        ("items.csv", b"", "has no column 'id', 'title'; its first line names nothing"),
        ("items.csv", b"id,colour\n1,x\n", r"no column 'title'; .* names 'id', 'colour' \(separ"),
        ("items.csv", b"id,title,title\n1,x,y\n", "has two columns named 'title'"),
        ("items.parquet", b"PAR1 nonsense", "cannot be read as Parquet"),
        ("items.parquet", b"", "cannot be read as Parquet"),
        ("items.parquet", parquet({"id": ["1"]}), "has no column 'title'; it has 'id'"),
        ("items.jsonl", gzip.compress(b"{}", mtime=0), r"is gzip without .gz in its name"),
    ],
)
def test_a_file_that_is_no_catalogue_is_refused(
    file: Callable[..., Path], name: str, content: bytes, message: str
) -> None:
    with pytest.raises(Failure, match=message):
        read(file(content, name))


@pytest.mark.promise(12)
@pytest.mark.parametrize("name", ["items.jsonl.gz", "items.csv.gz", "items.parquet.gz"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "plain"])
def test_damaged_gzip_is_never_taken_for_the_whole(tmp_path: Path, name: str, damage: str) -> None:
    rows = [{"id": str(n), "title": f"title {n * 7919 % 1000}"} for n in range(5000)]
    plain = {
        "items.jsonl.gz": "\n".join(map(json.dumps, rows)).encode(),
        "items.csv.gz": b"id,title\n" + b"\n".join(b"%d,t" % n for n in range(5000)),
        "items.parquet.gz": parquet({key: [r[key] for r in rows] for key in ("id", "title")}),
    }[name]
    packed = gzip.compress(plain)
    middle = len(packed) // 2
    content = {
        "truncated": packed[:-20],
        "empty": b"",
        "flipped": packed[:middle] + bytes([packed[middle] ^ 16]) + packed[middle + 1 :],
        "plain": plain,
    }[damage]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Failure, match="gzip"):
        read(tmp_path / name)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"nowhere.jsonl does not exist"):
        read(tmp_path / "nowhere.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(Failure, match=r"folder.jsonl is a folder"):
        read(tmp_path / "folder.jsonl")


# Invariants

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
names = st.sampled_from(sorted(FULL))
FUZZ = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
words = (
    st.text(st.characters(exclude_categories=["C"], exclude_characters="<&"), min_size=1)
    .map(normalised)
    .filter(lambda text: text and not null_word(text))
)
plain_rows = st.fixed_dictionaries(
    {"id": words, "title": words},
    optional={
        "description": words,
        "brand": words,
        "price": st.floats(0, 1e9),
        "available": st.booleans(),
        "season": words,
    },
)


def expected_item(row: dict[str, Any]) -> Item:
    known = {name: value for name, value in row.items() if name != "season"}
    return Item(**known, extra={"season": row["season"]} if "season" in row else {})


@FUZZ
@given(rows=st.lists(plain_rows, min_size=1, max_size=8))
@pytest.mark.parametrize("name", ["items.jsonl", "items.csv", "items.csv.gz", "items.parquet"])
def test_sound_rows_come_back_as_they_were(
    file: Callable[..., Path], name: str, rows: list[dict[str, Any]]
) -> None:
    columns = ["id", "title", "description", "brand", "price", "available", "season"]
    if name == "items.jsonl":
        content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    elif name == "items.parquet":
        content = parquet({column: [row.get(column) for row in rows] for column in columns})
    else:
        out = io.StringIO()
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)
        content = out.getvalue().encode()
    found, bad = read(file(content, name))
    assert not bad
    assert [item for _, item in found] == [expected_item(row) for row in rows]


@pytest.mark.promise(12)
@FUZZ
@given(rows=st.lists(st.dictionaries(names | st.text(max_size=6), anything), max_size=8))
def test_any_json_objects_are_items_or_reported(
    file: Callable[..., Path], rows: list[dict[str, Any]]
) -> None:
    rows = [{"id": [], **row} for row in rows]  # else one that holds only rows is opened
    found, bad = read(file("\n".join(map(json.dumps, rows))))
    numbers = [number for number, _ in found] + [entry.line for entry in bad]
    assert sorted(numbers) == list(range(1, len(rows) + 1))
    for number, item in found:
        assert item.id == str(rows[number - 1]["id"]).strip()
        assert item.title


@pytest.mark.promise(12)
@FUZZ
@given(content=st.binary(max_size=300) | st.text('idtle,":{}[]\n\r \ufffd', max_size=80))
@pytest.mark.parametrize("header", [b"", b"id,title\n", b'{"id":"1","title":"x"}\n'])
@pytest.mark.parametrize("name", ["items.jsonl", "items.csv", "items.parquet", "items.csv.gz"])
def test_no_bytes_raise_anything_but_a_failure(
    tmp_path: Path, name: str, header: bytes, content: bytes | str
) -> None:
    raw = header + (content.encode() if isinstance(content, str) else content)
    (tmp_path / name).write_bytes(raw)
    try:
        found, bad = read(tmp_path / name)
    except Failure as failure:
        assert str(tmp_path / name) in str(failure)
        return
    if name == "items.jsonl" and header.startswith(b"{") and b"\r" not in raw:
        lines = [n for n, line in enumerate(raw.removeprefix(BOM).split(b"\n"), 1) if line.strip()]
        assert sorted([n for n, _ in found] + [entry.line for entry in bad]) == lines
