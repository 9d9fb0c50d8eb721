"""Files as programs export them: encodings, CSV dialects, nested JSON; for every door alike."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.items.records import Item, read_items
from indexes.readers import json_rows
from indexes.readers.bad_lines import BadLine
from indexes.readers.file_forms import FileForm
from indexes.readers.rows import read_rows

TITLES = ["Fußball schwarz", "Kaffeemühle", "Türgriff", "Plain"]


def read(path: Path, form: FileForm | None = None) -> tuple[list[Item], list[BadLine]]:
    bad: list[BadLine] = []
    return [item for _, item in read_items(path, bad.append, form=form)], bad


def written(folder: Path, content: bytes | str, name: str = "items.csv") -> Path:
    raw = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return folder / name


def table(mark: str = ",", end: str = "\n") -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=mark, lineterminator=end)
    writer.writerows([("id", "title"), *((str(n), title) for n, title in enumerate(TITLES))])
    return out.getvalue()


@pytest.mark.parametrize("name", ["items.csv", "items.csv.gz", "items.tsv"])
@pytest.mark.parametrize(
    "content",
    [
        *(table(mark).encode() for mark in ",;\t|"),
        b"sep=;\r\n" + table(";", "\r\n").encode(),
        table(end="\r").encode(),
        *(table(";").encode(name) for name in ("utf-8-sig", "utf-16", "utf-32", "latin-1")),
        b"\xfe\xff" + table().encode("utf-16-be"),
        table().encode("utf-16-le"),
        table("|", "\r\n").encode("cp1252"),
    ],
)
def test_every_dialect_gives_the_same_items(tmp_path: Path, name: str, content: bytes) -> None:
    items, bad = read(written(tmp_path, content, name))
    assert not bad
    assert [item.title for item in items] == TITLES


def test_what_was_assumed_is_said(tmp_path: Path) -> None:
    form = FileForm()
    read(written(tmp_path, table(";").encode("latin-1")), form)
    assert form.assumed == ["separator ';'", "encoding cp1252, since line 2 is not UTF-8"]
    form = FileForm()
    read(written(tmp_path, table()), form)
    assert form.assumed == []


@pytest.mark.parametrize(("encoding", "title"), [("iso-8859-2", "Łódź"), ("shift_jis", "赤い机")])
def test_an_encoding_that_was_said_is_taken(tmp_path: Path, encoding: str, title: str) -> None:
    path = written(tmp_path, f"id,title\n1,{title}\n".encode(encoding))
    assert read(path, FileForm(encoding))[0] == [Item("1", title)]
    with pytest.raises(Failure, match="no text encoding 'latin-99'"):
        read(path, FileForm("latin-99"))


def test_a_broken_line_in_a_file_of_utf8_costs_itself(tmp_path: Path) -> None:
    content = table().encode() + b"9,caf\xe9\n" + "10,Tür\n".encode()
    items, bad = read(written(tmp_path, content))
    assert [item.title for item in items] == [*TITLES, "Tür"]
    assert bad == [BadLine(6, "byte 6 of line 6 (0xe9) is not valid UTF-8")]


def test_backslashes_and_trailing_separators(tmp_path: Path) -> None:
    content = (
        'id,title,price\n1,"Shelf 24\\" oak",10,\n2,"Lamp, \\"retro\\"",20,,\n'
        '3,"C:\\temp",30\n4,Chair,40\n5,x,6,7\n'
    )
    items, bad = read(written(tmp_path, content))
    assert [(item.title, item.price) for item in items] == [
        ('Shelf 24" oak', 10), ('Lamp, "retro"', 20), ("C:\\temp", 30), ("Chair", 40),
    ]  # fmt: skip
    assert bad == [BadLine(6, "the row has 4 cells, the header has 3")]


def test_blanks_after_separators_and_blank_first_lines(tmp_path: Path) -> None:
    items, bad = read(written(tmp_path, '\n \r\nid, "title", brand\n1, "A, b", c\n2, d, "e"\n'))
    assert not bad
    assert items == [Item("1", "A, b", brand="c"), Item("2", "d", brand="e")]


def test_a_header_that_names_nothing_known_says_what_was_tried(tmp_path: Path) -> None:
    tried = r"no column 'id', 'title'; .* 'a b' \(separators tried: ',', ';', tab, '\|'\)"
    tried += r".*rebuild\.columns"
    with pytest.raises(Failure, match=tried):
        read(written(tmp_path, "a b\n1\n"))


ROWS = [{"id": "1", "title": "Chair"}, {"id": "2", "title": "Desk"}]
SOURCES = [{"_id": row["id"], "_source": {"title": row["title"]}} for row in ROWS]
SHAPES: dict[str, Any] = {
    "array": json.dumps(ROWS),
    "pretty array": json.dumps(ROWS, indent=2),
    "array, an object a line": "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
    "pretty objects": "\n".join(json.dumps(row, indent=4) for row in ROWS),
    "pretty, first name on the first line": '{ "id": "1",\n "title": "Chair" }\n'
    '{ "id": "2",\n "title": "Desk" }',
    "products": json.dumps({"shop": "x", "products": ROWS}),
    "pretty items": json.dumps({"items": ROWS, "total": 2}, indent=1),
    "nested": json.dumps({"data": {"catalog": {"products": ROWS}}}),
    "edges": json.dumps({"data": {"products": {"edges": [{"node": row} for row in ROWS]}}}),
    "edges with cursors": "\n".join(
        json.dumps({"data": {"p": {"edges": [{"cursor": "x", "node": row}], "pageInfo": {}}}})
        for row in ROWS
    ),
    "nodes with cursors": "\n".join(json.dumps({"node": row, "cursor": "x"}) for row in ROWS),
    "each in an object": "\n".join(json.dumps({"product": row}) for row in ROWS),
    "scrolled to an empty page": "\n".join(
        json.dumps({"_scroll_id": "x", "took": 3, "hits": {"hits": page}}) for page in (SOURCES, [])
    ),
    "a page a line": "\n".join(json.dumps({"results": [row], "page": 1}) for row in ROWS),
    "hits": "\n".join(json.dumps({"_index": "shop", "_score": 1, **hit}) for hit in SOURCES),
    "search answer": json.dumps({"took": 3, "hits": {"total": {"value": 2}, "hits": SOURCES}}),
    "pretty answer": json.dumps({"hits": {"hits": SOURCES}}, indent=2),
    "bulk": "\n".join(
        json.dumps({"index": {"_id": row["id"]}}) + "\n" + json.dumps({"title": row["title"]})
        for row in ROWS
    ),
    "bulk of updates": json.dumps({"delete": {"_id": "9"}})
    + "\n"
    + "\n".join(
        json.dumps({"update": {"_id": row["id"]}}) + "\n" + json.dumps({"doc": row}) for row in ROWS
    ),
}


@pytest.mark.parametrize("name", ["items.jsonl", "items.json.gz", "items.ndjson"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_opened(tmp_path: Path, name: str, shape: str) -> None:
    items, bad = read(written(tmp_path, SHAPES[shape], name))
    assert not bad
    assert [(item.id, item.title) for item in items] == [("1", "Chair"), ("2", "Desk")]


def test_one_bad_value_in_a_pretty_file_costs_itself(tmp_path: Path) -> None:
    rows = [{"id": str(n), "title": f"t{n}"} for n in range(3)]
    text = json.dumps(rows, indent=2).replace('"t1"', "t1")
    items, bad = read(written(tmp_path, text, "items.json"))
    assert [item.id for item in items] == ["0", "2"]
    assert [entry.line for entry in bad] == [6]


def test_a_broken_first_line_is_no_pretty_file(tmp_path: Path) -> None:
    items, bad = read(written(tmp_path, '{"id": "1", "ti\n{"id": "2", "title": "x"}', "i.jsonl"))
    assert (items, bad) == ([Item("2", "x")], [BadLine(1, "the JSON ends in the middle")])


@pytest.mark.parametrize("broken", range(4))
def test_a_broken_line_of_a_bulk_body_costs_one_item(tmp_path: Path, broken: int) -> None:
    lines = [
        json.dumps(line)
        for row in ({"id": str(n), "title": f"t{n}"} for n in range(4))
        for line in ({"index": {"_id": row["id"]}}, {"title": row["title"]})
    ]
    lines[2 * broken + 1] = '{"title": "t'
    items, bad = read(written(tmp_path, "\n".join(lines), "i.jsonl"))
    assert [item.id for item in items] == [str(n) for n in range(4) if n != broken]
    assert bad[0].line == 2 * broken + 2


@pytest.mark.parametrize("lines", [SHAPES["hits"], SHAPES["bulk"], SHAPES["each in an object"]])
def test_a_broken_first_line_hides_no_shape(tmp_path: Path, lines: str) -> None:
    items, bad = read(written(tmp_path, f"broken\n{lines}", "i.jsonl"))
    assert ([item.id for item in items], len(bad)) == (["1", "2"], 1)


def test_a_title_inside_a_column_is_said(tmp_path: Path) -> None:
    row = {"fields": {"title": "Chair"}, "_id": "1", "score": 1}
    _, [bad] = read(written(tmp_path, json.dumps(row), "i.jsonl"))
    assert bad.reason == "title is missing; the object in 'fields' has one"


def test_a_file_that_has_to_be_read_whole_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "MAX_WHOLE_BYTES", 2**20)
    path = written(tmp_path, "[\n" + '{"id": "1"},\n' * 100_000 + "]", "items.json.gz")
    with pytest.raises(Failure, match="read whole, and more than 1 MiB"):
        read(path)


@pytest.mark.parametrize("around", ["{}", '{{"shop": "x", "products": {}}}'])
def test_a_catalogue_in_one_line_may_be_longer_than_a_line(tmp_path: Path, around: str) -> None:
    rows = [{"id": str(n), "title": "x", "description": "y" * 1000} for n in range(9000)]
    items, bad = read(written(tmp_path, around.format(json.dumps(rows)), "items.json"))
    assert (len(items), bad) == (9000, [])


def test_other_doors_have_the_dialects_and_keep_their_own_arrays(tmp_path: Path) -> None:
    path = written(tmp_path, "Type|TIME|user\rview|1|Jörg\r".encode("latin-1"))
    rows = [row for _, row in read_rows(path, ("type", "time"), print)]
    assert rows == [{"type": "view", "time": "1", "user": "Jörg"}]
    event = {"event_name": "view", "stamp": 1, "items": [{"item_id": "1"}]}
    path = written(tmp_path, json.dumps(event), "events.jsonl")
    assert [row for _, row in read_rows(path, ("type", "time"), print)] == [event]
    path = written(tmp_path, json.dumps({"candidates": [{"id": "1"}]}), "requests.jsonl")
    assert [row for _, row in read_rows(path, (), print)] == [{"candidates": [{"id": "1"}]}]


pieces = st.sampled_from(
    [b"{", b"}", b"[", b"]", b'"id"', b'"title"', b":", b",", b'"x"', b"\n", b"\r", b"\x00", b"|"]
    + [b"\xff\xfe", b"\xe9", b"id;title", b"sep=;", b'"items"', b'"_source"', b"NaN", b'\\"', b";"]
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.lists(pieces, max_size=30).map(b"".join) | st.binary(max_size=200))
@pytest.mark.parametrize("name", ["items.jsonl", "items.csv"])
def test_no_bytes_crash_a_reader(tmp_path: Path, name: str, content: bytes) -> None:
    try:
        read(written(tmp_path, content, name))
    except Failure as failure:
        assert str(tmp_path / name) in str(failure)
