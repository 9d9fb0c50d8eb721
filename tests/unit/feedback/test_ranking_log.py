"""The log of rankings: what is in a line, who is in it, how it is written, how it goes away."""

import json
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import ROOT, TESTS

from indexes.errors import Failure
from indexes.names import normalised
from indexes.workspace import Workspace
from reranker.commands.events import events_commands, export_command, forget_command
from reranker.events.events import HistoryEvent
from reranker.feedback.days import day_file
from reranker.feedback.files import rankings_folder
from reranker.feedback.log import LOST, WRITTEN, Answered, RankingLog, logged
from reranker.feedback.records import LoggedRanking, logged_ranking, ranking_files, read_rankings
from reranker.feedback.settings import RankingLogSettings
from reranker.histories.store import open_histories
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.pseudonyms.pseudonyms import SIZE, Pseudonyms
from reranker.ranking.ranking import BlendName, Ranked, Ranking
from reranker.requests import Candidate, RerankRequest
from service.app import create_app, ranking_log

CANDIDATES = [{"id": f"{number}", "score": 9.5 - number} for number in range(1, 7)]
BODY = {"query": "red shoes", "user": "u42", "session": "s1", "candidates": CANDIDATES, "top_n": 4}


def client_of(home: Path, **chosen: Any) -> tuple[FlaskClient, Callable[[], list[LoggedRanking]]]:
    """A client of an application with this home, and what it has logged so far."""
    workspace = Workspace(home, {RankingLogSettings: RankingLogSettings(**chosen)})
    app = create_app(workspace)

    def written() -> list[LoggedRanking]:
        ranking_log(app).flush()
        folder = rankings_folder(workspace)
        if not folder.exists():
            return []
        return list(read_rankings(ranking_files(folder), pytest.fail))

    return app.test_client(), written


def test_a_line_says_what_was_shown_and_rebuilds_the_request(own_home: Path) -> None:
    client, written = client_of(own_home)
    answer = client.post("/rerank", json=BODY | {"weights": {"semantic": 2.0}}).get_json()
    (one,) = written()
    assert one.id == answer["id"]
    assert one.items == [result["id"] for result in answer["results"]]
    assert one.order == [result["index"] for result in answer["results"]]
    assert one.candidates() == [Candidate(**candidate) for candidate in CANDIDATES]
    assert one.blend == "{name}@{version}".format(**answer["blend"])
    assert (one.query, one.top_n, one.weights) == ("red shoes", 4, {"semantic": 2.0})
    assert abs(one.at - datetime.now(UTC).timestamp()) < 60


def test_nobody_is_named(own_home: Path) -> None:
    client, written = client_of(own_home)
    client.post("/rerank", json=BODY)
    client.post("/rerank", json=BODY | {"user": "s1", "session": None})
    one, other = written()
    names = PseudonymKeys(own_home).open()
    assert (one.user, one.session) == (names.user("u42"), names.session("s1"))
    assert other.user != one.session  # a user who is called like a session
    text = b"".join(path.read_bytes() for path in (own_home / "rankings").iterdir())
    assert b"u42" not in text and b'"s1"' not in text
    assert (own_home / "rankings").stat().st_mode & 0o777 == 0o700
    for path in (own_home / "rankings").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_setting_log(own_home: Path) -> None:
    client, written = client_of(own_home, log=False)
    assert client.post("/rerank", json=BODY).status_code == 200
    assert written() == []
    assert not (own_home / "rankings").exists()


def test_a_result_without_items_is_no_ranking(own_home: Path) -> None:
    client, written = client_of(own_home)
    client.post("/rerank", json={"candidates": []})
    assert written() == []


def answered(number: int, query: str = "q", at: float | None = None) -> Answered:
    asked = RerankRequest([Candidate("a"), Candidate("b")], query, user="u")
    ranking = Ranking([Ranked("b", 1, 1, 1.0)], BlendName("default", 1), {}, [])
    now = datetime.now(UTC).timestamp() if at is None else at
    return Answered(f"{number:08}", now, asked, ranking)


def a_log(folder: Path, **chosen: Any) -> tuple[RankingLog, Counter[str]]:
    counts: Counter[str] = Counter()

    def count(outcome: str, more: int) -> None:
        counts[outcome] += more

    return RankingLog(folder, RankingLogSettings(**chosen), count), counts


def add(log: RankingLog, *some: Answered) -> None:
    for one in some:
        log.add(one.id, one.request, one.ranking)
    log.flush()


def test_processes_share_a_file_and_the_key(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(TESTS)!r}]; "
        "from pathlib import Path; "
        "from test_ranking_log import a_log, add, answered; "
        f"log, _ = a_log(Path({str(tmp_path / 'rankings')!r})); "
        "[add(log, answered(n, 'long query ' * 200)) for n in range(int(sys.argv[1]), "
        "int(sys.argv[1]) + 50)]"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(start)], cwd=ROOT)
        for start in (0, 100, 200)
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    found = list(read_rankings(ranking_files(tmp_path / "rankings"), pytest.fail))
    numbers = [int(ranking.id) for ranking in found]
    assert sorted(numbers) == [*range(50), *range(100, 150), *range(200, 250)]
    assert len({ranking.user for ranking in found}) == 1


@pytest.mark.parametrize("how", ["a file is in the way", "the disk is full"])
def test_what_cannot_be_written_is_counted_and_said_once(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "rankings"
    if how == "the disk is full":
        make(folder)
        in_the_way = day_file(folder, datetime.now(UTC).date().isoformat())
        in_the_way.symlink_to("/dev/full")
    else:
        in_the_way = folder
        folder.write_text("no folder")
    log, counts = a_log(folder)
    with caplog.at_level(logging.ERROR, "reranker"):
        logging.getLogger("reranker").propagate = True
        for number in range(3):
            add(log, answered(number))
    assert counts == {LOST: 3}
    assert len([one for one in caplog.records if "not logged" in one.message]) == 1
    in_the_way.unlink()
    add(log, answered(7))
    assert counts == {LOST: 3, WRITTEN: 1}


def make(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder


def test_rerank_answers_although_nothing_can_be_logged(own_home: Path) -> None:
    (own_home / "rankings").write_text("no folder")
    workspace = Workspace(own_home)
    app = create_app(workspace)
    client = app.test_client()
    assert client.post("/rerank", json=BODY).status_code == 200
    ranking_log(app).flush()
    metrics = client.get("/metrics").text
    assert 'reranker_rankings_total{outcome="lost"} 1.0' in metrics


def days(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jsonl"))


def test_setting_days(tmp_path: Path) -> None:
    folder = make(tmp_path / "rankings")
    today = datetime.now(UTC).date()
    for ago in (1, 2, 3):
        day_file(folder, (today - timedelta(ago)).isoformat()).write_text("{}\n")
    (folder / "notes.jsonl").write_text("mine\n")
    log, _ = a_log(folder, days=2)
    add(log, answered(1))
    assert days(folder) == [
        *(f"{today - timedelta(ago)}.jsonl" for ago in (2, 1, 0)),
        "notes.jsonl",
    ]
    workspace = Workspace(tmp_path, {RankingLogSettings: RankingLogSettings(days=1)})
    done = CliRunner().invoke(events_commands, ["expire", "--json"], obj=workspace)
    assert json.loads(done.stdout)["days_of_rankings"] == 1


def test_setting_megabytes(tmp_path: Path) -> None:
    folder = make(tmp_path / "rankings")
    today = datetime.now(UTC).date()
    for ago in (1, 2):
        day_file(folder, (today - timedelta(ago)).isoformat()).write_bytes(b"\n" * 600_000)
    log, counts = a_log(folder, megabytes=1)
    add(log, answered(1))
    assert len(days(folder)) == 2  # the oldest made room
    for number in range(30):
        add(log, answered(number, "q" * 100_000))
    assert days(folder) == [f"{today}.jsonl"]
    assert day_file(folder, str(today)).stat().st_size <= 1_000_000
    assert counts[LOST] > 10 and counts[WRITTEN] > 5


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    folder = make(tmp_path / "rankings")
    log, _ = a_log(folder)
    add(log, answered(1))
    (path,) = ranking_files(folder)
    os.truncate(path, path.stat().st_size - 9)
    add(log, answered(2))
    bad: list[Any] = []
    assert [one.id for one in read_rankings([path], bad.append)] == ["00000002"]
    assert len(bad) == 1


class Program:
    """The commands as the command line runs them."""

    def __init__(self, home: Path) -> None:
        self.workspace = Workspace(home)

    def __call__(self, *args: str) -> Any:
        commands = {"export": export_command, "forget": forget_command}
        return CliRunner().invoke(commands[args[0]], args[1:], obj=self.workspace)


@pytest.fixture
def logged_home(own_home: Path) -> Iterator[Path]:
    """u42 searched with and without a name, u7 did, and so did a session of nobody known."""
    client, written = client_of(own_home)
    for who in (
        {"user": "u42", "session": "s1"},
        {"session": "s1"},
        {"user": "u42"},
        {"session": "s2"},
        {"session": "of-nobody"},
        {"user": "u7"},
    ):
        client.post("/rerank", json={"query": "secret words", "candidates": CANDIDATES} | who)
    assert len(written()) == 6
    histories = open_histories(Workspace(own_home))
    histories.append([HistoryEvent(type="view", item="1", time=1e9, user="u42", session="s2")])
    histories.close()
    yield own_home


def test_forget_takes_the_rankings_along(logged_home: Path) -> None:
    program = Program(logged_home)
    exported = [json.loads(line) for line in program("export", "u42").stdout.splitlines()]
    assert [row.get("type", row.get("query")) for row in exported] == [
        "view",
        *["secret words"] * 4,
    ]
    assert len(program("export", "u42", "--events-only").stdout.splitlines()) == 1
    done = json.loads(program("forget", "u42", "--json").stdout)
    assert (done["events"], done["rankings"]) == (1, 4)
    left = list(read_rankings(ranking_files(logged_home / "rankings"), pytest.fail))
    names = PseudonymKeys(logged_home).open()
    assert {(one.user, one.session) for one in left} == {
        (names.user("u7"), None),
        (None, names.session("of-nobody")),
    }
    for gone in (names.user("u42"), names.session("s1"), names.session("s2")):
        for path in (logged_home / "rankings").iterdir():
            assert gone.encode() not in path.read_bytes()
    with pytest.raises(Failure, match="no ranking of the user 'u42'"):
        raise program("forget", "u42").exception


def test_somebody_known_by_rankings_alone_is_exported_and_forgotten(logged_home: Path) -> None:
    program = Program(logged_home)
    assert len(program("export", "u7").stdout.splitlines()) == 1
    assert json.loads(program("forget", "of-nobody", "--session", "--json").stdout)["rankings"] == 1
    assert json.loads(program("forget", "u7", "--json").stdout)["rankings"] == 1


def test_a_running_log_goes_on_after_forget(logged_home: Path) -> None:
    client, written = client_of(logged_home)
    client.post("/rerank", json=BODY | {"user": "u9"})
    before = len(written())
    Program(logged_home)("forget", "u7")
    client.post("/rerank", json=BODY | {"user": "u9"})
    assert len(written()) == before


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    keys = PseudonymKeys(tmp_path)
    assert keys.read() is None
    make(keys.folder)
    keys.path.write_text("abc")
    with pytest.raises(Failure, match=r"keys is damaged"):
        keys.read()


@given(st.text(), st.text())
def test_pseudonyms_depend_on_key_kind_and_name(one: str, other: str) -> None:
    first, second = Pseudonyms(b"1" * 32), Pseudonyms(b"2" * 32)
    assert (first.user(one) == first.user(other)) == (one == other)
    assert first.user(one) != first.session(one)
    assert first.user(one) != second.user(one)
    assert len(first.user(one)) == SIZE


NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=5)
IDS = st.lists(NAMES.map(normalised).filter(bool), min_size=1, max_size=12, unique=True)
SCORES = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=60)
@given(IDS, st.data())
def test_any_answer_comes_back_as_its_request(ids: list[str], data: st.DataObject) -> None:
    candidates = [Candidate(one, data.draw(SCORES)) for one in ids]
    order = data.draw(st.permutations(range(len(ids))))[: data.draw(st.integers(1, len(ids)))]
    results = [Ranked(ids[place], place, rank, 0.0) for rank, place in enumerate(order, 1)]
    ranking = Ranking(results, BlendName("b", 1), {}, [])
    one = logged(Answered("id", 1.5e9, RerankRequest(candidates), ranking), Pseudonyms(b"k" * 32))
    again = logged_ranking(msgspec.json.decode(msgspec.json.encode(one)))
    assert again == one
    assert again.candidates() == candidates
    assert again.items == [ids[place] for place in order]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"items": "17"}, "array"),
        ({"items": ["1", "1"]}, "twice"),
        ({"others": ["1"]}, "twice"),
        ({"order": [0]}, "own place"),
        ({"order": [0, 2]}, "own place"),
        ({"order": [1, 1]}, "own place"),
        ({"scores": [1.0]}, "1 entries for 2"),
        ({"time": "noon"}, "noon"),
        ({"time": None}, "missing required field `time`"),
        ({"time": 2026}, "time is 2026, which looks like a year"),
        ({"id": ""}, "length"),
        ({"items": ["1", " 1 "]}, "twice"),
        ({"items": [[]]}, r"items\[0\] is \[\]; a text"),
    ],
)
def test_a_line_that_does_not_fit_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        logged_ranking({"id": "r", "time": 1e9, "items": ["1", "2"]} | wrong)
