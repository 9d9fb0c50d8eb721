"""Whose name is in a file: not that of another it begins, not a number's, and nothing half read."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from indexes.workspace import Workspace
from reranker.commands.events import forget_command
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.privacy.erasure import Searched, search_home
from reranker.pseudonyms.text_search import NameSearch, can_be_searched

LONG, MARKED, SHORT = "jürgen müller-77", "ann & bob", "Zoë"
NAMES = (LONG, MARKED, SHORT, "u7", "4711007")


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def row(name: str) -> bytes:
    """Behind so much else that packed bytes do not show it."""
    lines = [json.dumps({"user": f"other-{number}"}) for number in range(500)]
    return "\n".join([*lines, json.dumps({"user": name})]).encode()


def table(name: str, encoding: str = "utf-8", separator: str = ",") -> bytes:
    return f"user{separator}query\nx{separator}y\n{name}{separator}q\n".encode(encoding)


def saved(name: str) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([name, "b"]))
    return file.getvalue()


def in_a_table_of_an_archive(name: str) -> bytes:
    return zipped("set.csv", table(name))


FILES: list[tuple[str, Callable[[str], bytes]]] = [
    ("set.zip", in_a_table_of_an_archive),
    ("zip-in.zip", lambda name: zipped("a.zip", zipped("r.jsonl", row(name)))),
    ("zip.gz", lambda name: gzip.compress(zipped("r.jsonl", row(name)))),
    ("packed.tar", lambda name: tarred("r.jsonl.gz", gzip.compress(row(name)))),
    ("packed.tar.gz", lambda name: gzip.compress(tarred("r.jsonl", row(name)))),
    ("table.tar", lambda name: tarred("r.csv", table(name))),
    ("table.txt", lambda name: table(name, separator="\t")),
    ("table", lambda name: gzip.compress(table(name, separator=";"))),
    ("utf-16.csv", lambda name: table(name, "utf-16")),
    ("latin-1.csv", lambda name: table(name, "latin-1")),
    ("utf-16.json", lambda name: json.dumps({"user": name}, ensure_ascii=False).encode("utf-16")),
    ("latin.json", lambda name: json.dumps({"user": name}, ensure_ascii=False).encode("latin-1")),
    ("other.json", lambda name: json.dumps({"visitor_id": name}).encode()),
    ("shop.json", lambda name: json.dumps({"user_pseudo_id": name}).encode()),
]
TEXT_ONLY: list[tuple[str, Callable[[str], bytes]]] = [
    ("array.npy", saved),
    ("marked.xml", lambda name: name.replace("&", "&amp;").replace("ü", "&#252;").encode()),
    ("lines.json", lambda name: json.dumps({"text": f"of\n{name}\tand\n"}).encode()),
    ("address.log", lambda name: f"GET /?user%3D{name}%26a".replace(" ", "%20").encode()),
    ("side by side", lambda name: b"\0abc" + name.encode() + b"def"),
]


def searched(home: Path, name: str, file: str, content: bytes) -> Searched:
    (home / "requests").mkdir(parents=True, exist_ok=True)
    (home / "requests" / file).write_bytes(content)
    return search_home(home, [name])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("file", "write"), FILES, ids=[file for file, _ in FILES])
def test_no_name_is_passed_over(
    name: str, file: str, write: Callable[[str], bytes], tmp_path: Path
) -> None:
    done = searched(tmp_path, name, file, write(name))
    assert done.found or done.unread


@pytest.mark.parametrize("name", [LONG, MARKED])
@pytest.mark.parametrize(("file", "write"), TEXT_ONLY, ids=[file for file, _ in TEXT_ONLY])
def test_a_name_is_found_in_any_text(
    name: str, file: str, write: Callable[[str], bytes], tmp_path: Path
) -> None:
    assert searched(tmp_path, name, file, write(name)).found == [f"requests/{file}"]


@pytest.mark.parametrize(("file", "write"), FILES, ids=[file for file, _ in FILES])
def test_who_is_not_there_is_not_found(
    file: str, write: Callable[[str], bytes], tmp_path: Path
) -> None:
    for name in NAMES:
        assert not searched(tmp_path, name, file, write("somebody else")).found


def test_parquet_says_something_about_itself(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    about = pyarrow.table({"n": [1]}).replace_schema_metadata({"made for": LONG})
    parquet.write_table(about, file)
    assert searched(tmp_path, LONG, "a.parquet", file.getvalue()).found
    packed = io.BytesIO()
    parquet.write_table(pyarrow.table({"user": ["u7"]}), packed)
    assert searched(tmp_path, "u7", "b.parquet.gz", gzip.compress(packed.getvalue())).unread
    feather = pytest.importorskip("pyarrow.feather")
    feather.write_feather(pyarrow.table({"user": [LONG] * 9}), tmp_path / "requests" / "c.feather")
    assert "requests/c.feather" in search_home(tmp_path, [LONG]).unread


def test_a_file_that_is_called_after_a_shopper_is_found(tmp_path: Path) -> None:
    assert searched(tmp_path, LONG, f"of {LONG}.jsonl", b"{}").found == [
        f"requests/of {LONG}.jsonl"
    ]
    assert not search_home(tmp_path, ["jürgen müller-7"]).found


ANOTHERS = [
    ("shopper-4", '{"user": "shopper-42"}'),
    ("shopper-4", "user,query\nshopper-42,q\n"),
    ("ann@shop.example", '{"user": "joann@shop.example"}'),
    ("müller", '{"user": "müllerin"}'),
    ("straße", '{"user": "éstraße", "session": "straßeé"}'),
    ("shopper-4", '{"user": "éshopper-4", "session": "shopper-4語"}'),
    ("1234567", '{"candidates": [{"id": "1234567"}], "time": 1234567}'),
    ("1234567", '{"user": "12345678", "time": 17123456789}'),
    ("session", '{"session": "abc", "user": "b"}'),
    ("history", '{"history": [], "user": "b"}'),
    ("user", '{"user": "b"}'),
    ("42", '{"user": "4242", "session": 42.5}'),
]


@pytest.mark.parametrize(("name", "text"), ANOTHERS)
@pytest.mark.parametrize("times", [1, 60_000])
def test_what_is_anothers_is_not_taken_for_theirs(
    name: str, text: str, times: int, tmp_path: Path
) -> None:
    """Also where the pieces in which a file is read break off within a name."""
    content = gzip.compress((text + "\n").encode() * times, 1)
    assert not searched(tmp_path, name, "r.jsonl.gz", content).found
    theirs = text.encode() + b"\n" + json.dumps({"user": name}).encode()
    if not text.startswith("user,"):
        assert searched(tmp_path, name, "r.jsonl.gz", theirs).found


# Without those that are in Latin-1 what begins a sign in UTF-8.
LETTERS = st.characters(
    categories=("Ll", "Lu", "Nd"), exclude_characters="".join(map(chr, range(0xC0, 0x100)))
)


@given(st.text(LETTERS, min_size=6, max_size=12), st.text(LETTERS, min_size=1, max_size=3))
def test_a_name_is_not_in_a_longer_one(name: str, more: str) -> None:
    if not can_be_searched(name) or name in more + name[1:] or name in name[:-1] + more:
        return
    search = NameSearch([name])
    for ascii_only in (False, True):
        for other in (name + more, more + name):
            text = json.dumps({"user": other, "query": "q"}, ensure_ascii=ascii_only).encode()
            alone = json.dumps({"user": name}, ensure_ascii=ascii_only).encode()
            assert search.holds(alone)
            assert not search.holds(text)


def test_the_exit_status_says_whether_it_is_verified(tmp_path: Path) -> None:
    """A script must not take for done what is not; the answer is printed all the same."""

    def forget() -> tuple[int, bool]:
        done = CliRunner().invoke(forget_command, [LONG, "--json"], obj=Workspace(tmp_path))
        return done.exit_code, json.loads(done.stdout)["verified"]

    for content, expected in (
        (b"{}", (0, True)),
        (json.dumps({"user": LONG}).encode(), (1, False)),
        (gzip.compress(b"x" * 99)[:-9], (1, False)),
    ):
        store = open_histories(Workspace(tmp_path))
        store.append([HistoryEvent(type="view", item="1", time=1e9, user=LONG)])
        store.close()
        (tmp_path / "requests").mkdir(exist_ok=True)
        (tmp_path / "requests" / "r.jsonl").write_bytes(content)
        assert forget() == expected
