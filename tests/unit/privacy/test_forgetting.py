"""`forget` finds a name wherever and however it is written, and certifies only what it read."""

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
import tempfile
import time
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.commands.events import export_command, forget_command
from reranker.events.events import HistoryEvent
from reranker.feedback.days import append_lines, day_file
from reranker.feedback.files import delete_old, make_room
from reranker.feedback.settings import RankingLogSettings
from reranker.histories.store import open_histories
from reranker.model.card import CHECKPOINT
from reranker.privacy.erasure import search_home
from reranker.privacy.rotation import rotate
from reranker.pseudonyms.keys import KeysFailure, PseudonymKeys
from reranker.pseudonyms.text_search import NameSearch

NAME = "jürgen/müller 77"


def forget(home: Path, *args: str) -> Any:
    done = CliRunner().invoke(forget_command, [*args, "--json"], obj=Workspace(home))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return json.loads(done.stdout.splitlines()[-1])


def keep(home: Path, name: str) -> None:
    store = open_histories(Workspace(home))
    store.append([HistoryEvent(type="view", item="1", time=1e9, user=name)])
    store.close()


def line(**more: Any) -> bytes:
    return json.dumps({"id": "r", "time": 1.0, "items": ["1"], **more}).encode() + b"\n"


WRITTEN: list[tuple[str, Callable[[str], bytes]]] = [
    ("plain.jsonl", lambda name: json.dumps({"user": name}, ensure_ascii=False).encode()),
    ("escaped.jsonl", lambda name: json.dumps({"user": name}).encode()),
    ("slashes.jsonl", lambda name: json.dumps({"user": name}).replace("/", r"\/").encode()),
    ("all.jsonl", lambda name: ('{"u":"' + "".join(f"\\u{ord(c):04X}" for c in name)).encode()),
    ("twice.jsonl", lambda name: json.dumps({"x": json.dumps({"user": name})}).encode()),
    ("indented.json", lambda name: json.dumps([{"user": name}], indent=2).encode()),
    ("packed.jsonl.gz", lambda name: gzip.compress(json.dumps({"user": name}).encode())),
    ("packed", lambda name: gzip.compress(name.encode())),
    ("twice.gz", lambda name: gzip.compress(gzip.compress(name.encode()))),
    ("packed.bz2", lambda name: bz2.compress(name.encode())),
    ("packed.xz", lambda name: lzma.compress(name.encode())),
    ("members.gz", lambda name: gzip.compress(b"a\n" * 99) + gzip.compress(name.encode())),
    ("decomposed.csv", lambda name: unicodedata.normalize("NFD", f"user\n{name}\n").encode()),
    ("latin1.csv", lambda name: f"user\n{name}\n".encode("latin-1")),
    ("utf16.csv", lambda name: f"user\n{name}\n".encode("utf-16")),
    ("address.log", lambda name: f"GET /?u={quote(name, '').replace('%2F', '%2f')}".encode()),
    ("form.log", lambda name: f"u={quote_plus(name)}&x=1".encode()),
    ("padded.jsonl", lambda name: json.dumps({"session": f"\u00a0{name} \n"}).encode()),
    ("torn.jsonl", lambda name: b"{}\n" + json.dumps({"user": name, "q": 1}).encode()[:-9]),
    ("long.jsonl", lambda name: b"x" * 3_000_000 + json.dumps(name).encode() + b"y" * 3_000_000),
]


@pytest.mark.parametrize(("file", "write"), WRITTEN, ids=[file for file, _ in WRITTEN])
@pytest.mark.parametrize("folder", ["requests", "jobs/0-1"])
def test_a_name_is_found_however_it_is_written(
    file: str, write: Callable[[str], bytes], folder: str, tmp_path: Path
) -> None:
    keep(tmp_path, NAME)
    path = tmp_path / folder / file
    path.parent.mkdir(parents=True)
    path.write_bytes(write("somebody else"))
    assert search_home(tmp_path, [NAME]).found == []
    path.write_bytes(write(NAME))
    done = forget(tmp_path, NAME)
    assert (done["verified"], done["searched"]["found"]) == (False, [f"{folder}/{file}"])
    path.unlink()
    again = search_home(tmp_path, [NAME])
    assert not again.found and not again.unread


def test_lines_are_named(tmp_path: Path) -> None:
    keep(tmp_path, NAME)
    (tmp_path / "requests").mkdir()
    rows = [{"user": NAME if number in (3, 90_000) else "x" * 40} for number in range(100_000)]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (tmp_path / "requests" / "r.jsonl.gz").write_bytes(gzip.compress(content))
    done = CliRunner().invoke(forget_command, [NAME], obj=Workspace(tmp_path))
    assert "NOT VERIFIED: the same characters are also in requests/r.jsonl.gz (line 4, 90001)" in (
        done.stdout
    )


def test_a_zip_and_a_parquet_file_are_looked_into(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.jsonl", json.dumps({"user": NAME}))
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"user": ["x", NAME], "n": [1, 2]})
    parquet.write_table(table, tmp_path / "b.parquet", compression="gzip")
    assert search_home(tmp_path, [NAME]).found == ["a.zip", "b.parquet"]


def test_links_are_followed_out_of_the_home_and_nowhere_twice(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    (home / "requests").mkdir(parents=True)
    (outside / "deep").mkdir(parents=True)
    (outside / "set.jsonl").write_text(json.dumps({"user": NAME}))
    (outside / "deep" / "other.jsonl").write_text(json.dumps({"user": NAME}))
    (home / "requests" / "set.jsonl").symlink_to(outside / "set.jsonl")
    (home / "linked").symlink_to(outside)
    (outside / "deep" / "round").symlink_to(outside)  # and round again
    (home / "requests" / "nothing.jsonl").symlink_to(outside / "gone")
    (home / "requests" / "itself.jsonl").symlink_to("itself.jsonl")
    (home / "inside").symlink_to("requests")
    found = search_home(home, [NAME])
    assert found.found == ["linked/deep/other.jsonl", "linked/set.jsonl", "requests/set.jsonl"]
    assert set(found.unread) <= {"requests/itself.jsonl"}
    (home / "up").symlink_to(tmp_path)
    assert "up" in search_home(home, [NAME]).unread


UNREAD: list[tuple[str, bytes]] = [
    ("damaged.jsonl.gz", gzip.compress(b"nothing\n" * 9999)[:-20]),
    ("torn.jsonl.gz", gzip.compress(os.urandom(50_000))[:20_000]),
    ("bomb.jsonl.gz", gzip.compress(b" " * 3_000_000)),
    ("a.zst", b"\x28\xb5\x2f\xfd" + b"0" * 99),
    ("b.7z", b"7z\xbc\xaf\x27\x1c" + b"0" * 99),
    ("c.zip", b"PK\x03\x04" + b"0" * 99),
    ("d.parquet", b"PAR1" + b"0" * 99),
    ("e.bz2", bz2.compress(os.urandom(9_000))[:4_000]),
    ("f.xz", lzma.compress(os.urandom(9_000))[:4_000]),
    ("g.gz", gzip.compress(gzip.compress(gzip.compress(gzip.compress(b"x"))))),
]


@pytest.mark.parametrize(("file", "content"), UNREAD, ids=[file for file, _ in UNREAD])
def test_what_cannot_be_read_to_its_end_is_said(file: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(content)
    found = search_home(tmp_path, [NAME], most_unpacked=1_000_000)
    assert list(found.unread) == [file] and not found.found


def test_nothing_is_verified_with_a_file_unread(tmp_path: Path) -> None:
    keep(tmp_path, NAME)
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests" / "r.jsonl.gz").write_bytes(UNREAD[0][1])
    done = forget(tmp_path, NAME)
    assert not done["verified"] and done["searched"]["found"] == []
    assert "damaged" in done["searched"]["unread"]["requests/r.jsonl.gz"]


@pytest.mark.parametrize(
    "content",
    [
        '{"user": "u7"}',
        '{"user":7}\n{"session" : " u7\\n"}',
        '{"request": {"history": [{"type": "view", "user": "u\\u0037"}]}}',
        '[\n  {\n    "user_id": "u7"\n  }\n]',
        "user,query\nu8,u7\nu7,x\n",
    ],
)
def test_a_short_name_is_found_as_a_whole_value(content: str, tmp_path: Path) -> None:
    keep(tmp_path, "u7")
    (tmp_path / "requests").mkdir()
    path = tmp_path / "requests" / ("r.csv" if content.startswith("user,") else "r.jsonl")
    path.write_text('{"query": "u7", "user": "u77", "id": "u7"}\n' if path.suffix != ".csv" else "")
    done = forget(tmp_path, "u7")
    assert done["verified"] and (done["name_searched"], done["searched_as"]) == (True, "values")
    path.write_text(content)
    with_file = forget(tmp_path, "u7")
    assert not with_file["verified"] and with_file["searched"]["found"]
    assert not with_file["known"]  # gone before; but not from this file


@given(
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Cf")), min_size=6, max_size=40),
    st.booleans(),
    st.integers(0, 3),
)
def test_any_name_is_found_in_json_of_any_writer(name: str, ascii_only: bool, times: int) -> None:
    text: Any = {"user": name}
    for _ in range(times):
        text = json.dumps(text, ensure_ascii=ascii_only)
    written = json.dumps(text, ensure_ascii=ascii_only).encode()
    assert NameSearch([name]).holds(b"\xff" + written)


RAW = ("ghost77", "ghost77  ", "\tghost77\n", "\u00a0ghost77", "\ufeffghost77\r\n", "  ghost77 ")


@pytest.mark.parametrize("asked", ["ghost77", "ghost77  ", "\u00a0ghost77\u200b"])
@pytest.mark.parametrize("packed", [False, True])
def test_rankings_under_raw_forms_go_too(asked: str, packed: bool, tmp_path: Path) -> None:
    """As /rerank wrote them when it did not trim; before and after rotations."""
    keys = PseudonymKeys(tmp_path)
    first = keys.open()
    store = open_histories(Workspace(tmp_path))
    store.append(
        [HistoryEvent(type="view", item="1", time=1e9, user=first.as_written(True, RAW[1]))]
    )
    store.close()
    rows = [
        line(user=first.as_written(True, raw), query=f"secret {at}") for at, raw in enumerate(RAW)
    ]
    rows.append(line(user=first.user("another"), query="not theirs"))
    write_day(tmp_path, b"".join(rows), packed)
    rotate(Workspace(tmp_path))
    done = forget(tmp_path, asked)
    assert (done["events"], done["rankings"], done["verified"]) == (1, len(RAW), True)
    assert [row["query"] for row in read_day(tmp_path, packed)] == ["not theirs"]


def write_day(home: Path, content: bytes, packed: bool = False) -> Path:
    path = home / "rankings" / ("2026-11-20.jsonl.gz" if packed else "2026-11-20.jsonl")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def read_day(home: Path, packed: bool) -> list[dict[str, Any]]:
    path = home / "rankings" / ("2026-11-20.jsonl.gz" if packed else "2026-11-20.jsonl")
    content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    return [json.loads(row) for row in content.splitlines() if row.strip()]


def test_decomposed_names_are_the_same_shopper(tmp_path: Path) -> None:
    names = PseudonymKeys(tmp_path).open()
    composed, decomposed = (unicodedata.normalize(form, "renée-4711") for form in ("NFC", "NFD"))
    assert names.user(composed) == names.user(decomposed) == names.user(f" {decomposed}\n")
    write_day(tmp_path, line(user=names.as_written(True, decomposed), query="q"))
    assert forget(tmp_path, composed)["rankings"] == 1


def test_a_packed_day_is_exported_rotated_and_forgotten(tmp_path: Path) -> None:
    names = PseudonymKeys(tmp_path).open()
    some = [line(user=names.user(f"shopper-{number}"), query=f"q{number}") for number in range(9)]
    path = write_day(tmp_path, b"".join(some), packed=True)
    assert rotate(Workspace(tmp_path)).rankings == 9
    done = CliRunner().invoke(export_command, ["shopper-3"], obj=Workspace(tmp_path))
    assert [json.loads(row)["query"] for row in done.stdout.splitlines()] == ["q3"]
    assert path.stat().st_mode & 0o777 == 0o600
    done = forget(tmp_path, "shopper-3")
    assert (done["rankings"], done["verified"]) == (1, True)
    assert len(read_day(tmp_path, packed=True)) == 8
    path.write_bytes(path.read_bytes()[:-9])  # damaged: what it holds is not known any more
    done = forget(tmp_path, "shopper-4")
    assert (done["rankings"], done["verified"]) == (0, False)


@pytest.mark.parametrize("cut", range(1, 400, 13))
def test_a_torn_line_costs_itself_alone_and_can_be_forgotten(cut: int, tmp_path: Path) -> None:
    names = PseudonymKeys(tmp_path).open()
    secret = line(user=names.user("shopper-1"), query="secret words", filler="x" * 300)
    path = write_day(tmp_path, secret[:cut])  # its writer was killed
    append_lines(path, line(user=names.user("shopper-2"), query="of another"))
    assert json.loads(path.read_bytes().splitlines()[-1])["query"] == "of another"
    gone = names.user("shopper-1").encode()
    if gone in secret[:cut]:
        forget(tmp_path, "shopper-1")
        assert b"secret" not in path.read_bytes()
    assert forget(tmp_path, "shopper-2")["rankings"] >= 1


def test_a_swallowed_line_is_forgotten_with_the_torn_one(tmp_path: Path) -> None:
    """As a release wrote it that did not begin with a line end."""
    names = PseudonymKeys(tmp_path).open()
    torn = line(user=names.user("shopper-1"), query="secret words")[:-20]
    swallowed = line(user=names.user("shopper-2"), query="of another")
    path = write_day(tmp_path, torn + swallowed + line(user=names.user("shopper-3"), query="q"))
    done = forget(tmp_path, "shopper-2")
    assert (done["rankings"], done["verified"]) == (1, True)
    assert b"secret" not in path.read_bytes() and b"of another" not in path.read_bytes()
    assert forget(tmp_path, "shopper-3")["rankings"] == 1


def test_a_line_torn_in_its_name_is_dropped_by_a_rotation_and_counted(tmp_path: Path) -> None:
    names = PseudonymKeys(tmp_path).open()
    whole = line(user=names.user("shopper-1"), query="q")
    torn = whole[: whole.index(b"~") + 20]
    later = line(user=names.user("shopper-2"))
    path = write_day(tmp_path, torn + later + whole)
    done = rotate(Workspace(tmp_path))
    assert (done.rankings, done.torn) == (1, 1)
    assert names.user("shopper-2").encode() not in path.read_bytes()
    assert forget(tmp_path, "shopper-1")["rankings"] == 1


@pytest.mark.parametrize("what", ["histories", "rankings", "packed rankings"])
def test_no_first_key_is_made_beside_what_an_earlier_one_wrote(what: str, tmp_path: Path) -> None:
    keys = PseudonymKeys(tmp_path)
    names = keys.open()
    if what == "histories":
        keep(tmp_path, NAME)
    else:
        row = line(user=names.user(NAME))
        write_day(tmp_path, row, packed=what == "packed rankings")
    backup = keys.path.read_bytes()
    keys.path.unlink()
    for act in (
        PseudonymKeys(tmp_path).open,
        lambda: forget(tmp_path, NAME),
        lambda: rotate(Workspace(tmp_path)),
    ):
        with pytest.raises(KeysFailure, match="pseudonyms/keys is missing"):
            act()
    assert not keys.path.exists()
    keys.path.write_bytes(backup)
    assert forget(tmp_path, NAME)["known"]


def test_a_new_home_and_one_with_nothing_of_anybody_get_their_key(tmp_path: Path) -> None:
    write_day(tmp_path, line(query="nobody asked"))
    assert PseudonymKeys(tmp_path).open().generation == 1


def for_another_account(code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run it as an account that owns nothing here: the super-user may do everything."""
    begin = """
import contextlib, io, os, shutil, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from reranker.privacy.erasure import search_home
from service.commands.cli import run
# Everything is imported before the account changes, which may not read the program.
shutil.copytree(sys.argv[1], sys.argv[1] + "-first")
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    run(["--home", sys.argv[1] + "-first", "forget", "shopper-1", "--json"])
shutil.rmtree(sys.argv[1] + "-first")
for path in (*Path(sys.argv[1]).rglob("*"), Path(sys.argv[1])):
    path.chmod(0o555 if path.is_dir() else 0o444)
for path in Path(sys.argv[1]).glob("closed*"):
    path.chmod(0)
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
"""
    return subprocess.run(
        [sys.executable, "-c", begin + code, str(folder), *sys.path],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account can come to."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)
        for path, folders, _ in os.walk(name):
            for each in (path, *(os.path.join(path, one) for one in folders)):
                os.chmod(each, 0o700)


@pytest.mark.parametrize("what", ["rankings", "histories"])
def test_a_home_that_cannot_be_written_makes_forget_fail_aloud(
    what: str, open_folder: Path
) -> None:
    home = open_folder / "home"
    home.mkdir()
    names = PseudonymKeys(home).open()
    if what == "rankings":
        write_day(home, line(user=names.user("shopper-1"), query="q"))
    else:
        keep(home, "shopper-1")
    code = "sys.exit(run(['--home', sys.argv[1], 'forget', 'shopper-1', '--json']))"
    done = for_another_account(code, home)
    assert done.returncode == 1, done.stderr
    assert "cannot be" in done.stderr
    assert 'verified":' not in done.stdout


def test_what_the_account_may_not_read_is_not_verified(open_folder: Path) -> None:
    home = open_folder / "home"
    (home / "closed").mkdir(parents=True)
    (home / "closed.jsonl").write_text("shopper-1")
    code = "print(sorted(search_home(Path(sys.argv[1]), ['shopper-1']).unread))"
    done = for_another_account(code, home)
    assert done.stdout.strip() == "['closed', 'closed.jsonl']", done.stderr


def test_an_id_that_is_none_is_refused(tmp_path: Path) -> None:
    for name in ("", "  ", "a\x00b"):
        with pytest.raises(Failure):
            forget(tmp_path, name)


def test_rankings_of_a_clock_that_was_ahead_go_after_their_days(tmp_path: Path) -> None:
    folder = tmp_path / "rankings"
    folder.mkdir()
    now, settings = time.time(), RankingLogSettings(days=3)
    today = datetime.fromtimestamp(now, UTC).date()
    ahead, kept = folder / "2999-01-01.jsonl", folder / f"{today}.jsonl"
    for path in (ahead, kept):
        path.write_bytes(line())
    os.utime(ahead, (now + 9e8, now + 9e8))  # its clock was ahead, too
    assert delete_old(folder, settings) == 0 and ahead.stat().st_mtime <= time.time()
    os.utime(ahead, (now - 5 * 86_400, now - 5 * 86_400))  # and five days later
    assert delete_old(folder, settings) == 1
    assert list(folder.iterdir()) == [kept]


def test_a_log_goes_on_when_its_clock_is_set_back(tmp_path: Path) -> None:
    """What was written with the later time stays, and is found."""
    names = PseudonymKeys(tmp_path).open()
    folder = tmp_path / "rankings"
    folder.mkdir()
    today = datetime.now(UTC).date()
    for day in (today + timedelta(days=40), today, today - timedelta(days=2)):
        append_lines(day_file(folder, f"{day}"), line(user=names.user("shopper-1"), query="q"))
    settings = RankingLogSettings(days=30, megabytes=1)
    assert make_room(folder, settings, day_file(folder, f"{today}"), 100)
    assert len(list(folder.iterdir())) == 3
    done = forget(tmp_path, "shopper-1")
    assert (done["rankings"], done["verified"]) == (3, True)


def test_what_was_learned_goes_before_the_events_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `forget` that is killed in its middle leaves events, by which the next one knows whom."""
    keep(tmp_path, "u1")
    checkpoint = tmp_path / "model" / "work" / CHECKPOINT
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"learned")

    def killed(*_: object, **_more: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(RuntimeError):
            forget(tmp_path, "u1")
    assert forget(tmp_path, "u1")["known"] and not checkpoint.exists()
