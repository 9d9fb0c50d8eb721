"""Rankings and events -> judged requests: who gets which event, and nothing from the future."""

import gzip
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.commands.feedback import requests_commands
from reranker.evaluation.requests import JudgedRequestReader, rerank_request
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.feedback.followed import LoggedEvents
from reranker.feedback.joins import GRADES, JoinedRanking, JoinRules, RankingJoin
from reranker.feedback.records import LoggedRanking
from reranker.feedback.requests import request_again, request_row
from reranker.histories.histories import Shopper
from reranker.histories.store import SqliteHistories
from reranker.pseudonyms.keys import PseudonymKeys, write_keys
from reranker.pseudonyms.pseudonyms import Pseudonyms

NAMES = Pseudonyms(b"k" * 32)
T = 1_790_000_000.0


def ranking(number: int, at: float, items: str = "abc", **more: Any) -> LoggedRanking:
    return LoggedRanking(f"r{number}", T + at, list(items), query="tea", **({"user": "u"} | more))


def event(kind: str, item: str, at: float, **more: Any) -> HistoryEvent:
    return HistoryEvent(type=kind, item=item, time=T + at, **({"user": "u"} | more))


@contextmanager
def logged_events(events: Sequence[HistoryEvent]) -> Iterator[LoggedEvents]:
    with TemporaryDirectory() as folder:
        keys = PseudonymKeys(Path(folder))
        keys.folder.mkdir()
        write_keys(keys.path, [b"k" * 32])
        histories = SqliteHistories(Path(folder), HistorySettings(), keys)
        histories.append(events)
        yield LoggedEvents(histories, GRADES, T - 86_400)
        histories.close()


def join(
    rankings: Sequence[LoggedRanking], events: Sequence[HistoryEvent]
) -> tuple[list[JoinedRanking], dict[str, int]]:
    with logged_events(events) as known:
        joining = RankingJoin(known, JoinRules(window=100.0))
        found = list(joining(rankings))
    return found, {name: getattr(joining.counts, name) for name in joining.counts.__struct_fields__}


def grades(found: list[JoinedRanking]) -> list[dict[str, float]]:
    return [one.grades(GRADES) for one in found]


def test_an_event_that_names_its_ranking_belongs_to_it_however_late() -> None:
    events = [
        event("view", "a", 5000, ranking="r1"),
        event("cart", "a", 6000, ranking="r1"),
        event("view", "b", 10, ranking="r2", user="somebody else"),
        event("view", "x", 10, ranking="r2"),
        event("view", "a", 10, ranking="r9"),
    ]
    found, counts = join([ranking(1, 0), ranking(2, 1, user=None)], events)
    assert grades(found) == [{"a": 2.0}, {"b": 1.0}]
    assert counts["events_by_id"] == 3
    assert counts["events_of_items_not_shown"] == 1
    assert counts["events_of_other_rankings"] == 1
    assert counts["without_shopper"] == 1


def test_without_an_id_the_last_ranking_that_showed_the_item_gets_it() -> None:
    rankings = [ranking(1, 0, "abc"), ranking(2, 10, "bcd"), ranking(3, 20, "cde", user="v")]
    events = [
        event("view", "a", 15),
        event("view", "b", 15),
        event("view", "c", 99),
        event("view", "d", 110),  # 100 seconds after r2 and no longer
        event("view", "b", 5),
        event("search", "a", 5, query="a"),
        event("view", "c", 18, user="v"),  # before r3
    ]
    found, counts = join(rankings, events)
    assert grades(found) == [{"a": 1.0, "b": 1.0}, {"b": 1.0, "c": 1.0}, {}]
    assert (counts["rankings"], counts["joined"], counts["without_events"]) == (3, 2, 1)
    assert counts["events_by_window"] == 4


def test_the_best_grade_counts_and_a_cancelled_purchase_never() -> None:
    events = [
        event("view", "a", 1),
        event("purchase", "a", 2),
        event("cart", "b", 3),
        event("purchase", "b", 4),
        event("cancel", "b", 500_000),
        event("purchase", "c", 5, ranking="r1"),
        event("cancel", "c", 6),
        event("purchase", "c", 7, ranking="r1"),
    ]
    found, _ = join([ranking(1, 0)], events)
    assert grades(found) == [{"a": 3.0, "b": 2.0, "c": 3.0}]
    found, _ = join([ranking(1, 0)], events[:-1])
    assert grades(found) == [{"a": 3.0, "b": 2.0}]


def test_what_left_the_cart_again_was_no_cart() -> None:
    events = [
        event("view", "a", 1),
        event("cart", "a", 2),
        event("cart", "b", 3),
        event("cart", "b", 4),
        event("uncart", "b", 5),
        event("uncart", "a", 6),
        event("uncart", "a", 7),
    ]
    found, _ = join([ranking(1, 0)], events)
    assert grades(found) == [{"a": 1.0, "b": 2.0}]


def test_pseudonyms_meet_the_names_of_events() -> None:
    rankings = [
        ranking(1, 0, user=NAMES.user("u")),
        ranking(2, 200, user=None, session=NAMES.session("s")),
        ranking(3, 400, user=None, session=NAMES.session("nobody")),
    ]
    events = [
        event("view", "a", 1),
        event("view", "b", 201, user=None, session="s"),
        event("view", "c", 900, session="s"),  # the session turns out to be u's
    ]
    found, _ = join(rankings, events)
    assert grades(found) == [{"a": 1.0}, {"b": 1.0}, {}]
    assert [one.who for one in found[:2]] == [
        Shopper(NAMES.user("u"), None),
        Shopper(None, NAMES.session("s")),
    ]
    assert found[2].who.session == NAMES.session("nobody")


def test_what_is_left_out_is_counted() -> None:
    rankings = [ranking(1, 0), ranking(1, 1), ranking(2, 500, ""), ranking(3, 600), ranking(4, 0)]
    found, counts = join(rankings, [event("view", "a", 1)])
    assert [one.ranking.id for one in found] == ["r1", "r3", "r4"]
    assert (counts["repeated"], counts["empty"], counts["out_of_order"]) == (1, 1, 1)


def test_what_names_the_ranking_came_after_it_whatever_its_clock_says() -> None:
    """A phone whose clock is behind, or a log in local time."""
    events = [
        event("view", "x", -200),
        event("view", "y", -90),
        event("view", "a", -60, ranking="r1"),
        event("purchase", "a", -30, ranking="r1"),
        event("view", "z", -20),
    ]
    shown = ranking(1, 0)
    with logged_events(events) as known:
        [found] = RankingJoin(known, JoinRules(window=100.0))([shown])
        row = request_row(found, known, GRADES)
        again = request_again(found, known)
        newest = request_row(found, known, GRADES, history=1)
    assert [past["item"] for past in row["history"]] == ["x", "y"]
    assert [past.item for past in again.history or []] == ["x", "y"]
    assert [past["item"] for past in newest["history"]] == ["y"]
    assert row["ratings"] == {"a": 3.0} and row["shown"] == shown.items


def test_the_history_ends_before_the_ranking() -> None:
    events = [
        event("view", "x", -50),
        event("view", "y", -50, user=None, session="s"),
        event("search", "a", 0, query="tea"),
        event("view", "a", 10),
        event("view", "z", 20, session="s"),
    ]
    rankings = [ranking(1, 0), ranking(2, 1, user=None, session="s")]
    with logged_events(events) as known:
        rows = [
            request_row(one, known, GRADES)
            for one in RankingJoin(known, JoinRules(window=100.0))(rankings)
        ]
    assert [past["item"] for past in rows[0]["history"]] == ["x", "y"]
    assert [past["item"] for past in rows[1]["history"]] == ["y"]  # s was nobody's yet
    judged = JudgedRequestReader().read(rows[0])
    assert len(rerank_request(judged).history or ()) == 2
    assert judged.time == T


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["view", "cart", "purchase"]),
        st.sampled_from("abcd"),
        st.integers(-50, 400),
        st.sampled_from(["u", "v"]),
        st.sampled_from([None, None, "r0", "r1"]),
    ),
    max_size=12,
)
RANKINGS = st.lists(
    st.tuples(
        st.integers(0, 300),
        st.lists(st.sampled_from("abcd"), min_size=1, unique=True),
        st.sampled_from(["u", "v"]),
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(RANKINGS, EVENTS)
def test_every_event_goes_to_one_ranking_at_most(
    shown: list[tuple[int, list[str], str]], done: list[tuple[str, str, int, str, str | None]]
) -> None:
    shown = sorted(shown, key=lambda one: one[0])
    rankings = [
        ranking(number, at, "".join(items), user=user)
        for number, (at, items, user) in enumerate(shown)
    ]
    events = [
        event(kind, item, at, user=user, ranking=named) for kind, item, at, user, named in done
    ]
    expected: list[dict[str, set[str]]] = [{} for _ in rankings]
    for one in events:
        fits = [
            number
            for number, other in enumerate(rankings)
            if one.item in other.items
            and (
                one.ranking == other.id
                if one.ranking
                else one.user == other.user and other.at <= one.time < other.at + 100
            )
        ]
        newest = max((rankings[number].at for number in fits), default=None)
        for number in fits:
            if rankings[number].at == newest:  # at the same moment nobody can tell
                expected[number].setdefault(one.item or "", set()).add(one.type)
    found, counts = join(rankings, events)
    assert [one.followed for one in found] == expected
    assert counts["joined"] + counts["without_events"] == counts["rankings"] == len(rankings)


def lines(path: Path) -> list[dict[str, Any]]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.splitlines()]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(home: Path, *args: str) -> Any:
    return CliRunner().invoke(requests_commands, args, obj=Workspace(home))


def test_the_command_reads_foreign_files_and_says_what_it_left_out(tmp_path: Path) -> None:
    shown = {"time": "2026-11-01T10:00:00Z", "query": "tea", "items": ["1", "2"], "user": "u"}
    rankings = write(tmp_path / "r.jsonl", [{"id": "a"} | shown, {"id": "b"} | shown, {"id": "c"}])
    bought = {"user": "u", "type": "purchase", "item": "2", "time": "2026-11-01T10:05:00Z"}
    events = write(tmp_path / "e.jsonl", [bought | {"ranking": "b"}])
    out = tmp_path / "requests.jsonl.gz"
    given = ("--rankings", str(rankings), "--events", str(events), "--out", str(out))
    failed = run(tmp_path / "home", "from-events", *given)
    assert isinstance(failed.exception, Failure) and not out.exists()
    assert "line 3: " in failed.stderr
    done = run(tmp_path / "home", "from-events", *given, "--max-bad-share", "0.5", "--json")
    counts = json.loads(done.stdout)
    assert (counts["requests"], counts["rankings"], counts["bad_lines"]) == (1, 2, 1)
    (row,) = lines(out)
    assert (row["id"], row["ratings"], row["user"]) == ("b", {"2": 3.0}, "u")
    assert row["candidates"] == [{"id": "1"}, {"id": "2"}]
    assert not list((tmp_path / "home" / "events").glob("join-*"))
    done = run(
        tmp_path / "home", "from-events", *given, "--max-bad-share", "1", "--grades", "view=1"
    )
    assert "0 requests" in done.stdout


def test_the_command_reads_the_services_own_log_by_default(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "rankings.log" in str(run(home, "from-events", "--out", "r.jsonl").exception)
    (home / "rankings").mkdir(parents=True)
    keys = PseudonymKeys(home)
    names = keys.open()
    row = {"id": "a", "time": T, "items": ["1", "2"], "user": names.user("u"), "order": [3, 0]}
    write(home / "rankings" / "2026-09-21.jsonl", [row | {"others": ["8", "9"]}])
    histories = SqliteHistories(home / "events", HistorySettings(), keys)
    histories.append([event("view", "1", 5)])
    histories.close()
    out = tmp_path / "requests.jsonl"
    assert run(home, "from-events", "--out", str(out)).exit_code == 0
    (row,) = lines(out)
    assert row["user"] == names.user("u")
    assert [candidate["id"] for candidate in row["candidates"]] == ["2", "8", "9", "1"]


@pytest.mark.parametrize("grades", ["view", "view=x", "view=-1", "=1"])
def test_grades_that_are_none_are_refused(grades: str, tmp_path: Path) -> None:
    assert run(tmp_path, "from-events", "--out", "r.jsonl", "--grades", grades).exit_code == 2


UNITS = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}


@pytest.mark.parametrize("of_events", UNITS)
@pytest.mark.parametrize("of_rankings", UNITS)
def test_rankings_and_events_of_any_units_join(
    tmp_path: Path, of_rankings: str, of_events: str
) -> None:
    at = (T - 60, T, T + 60)
    shown = [
        {"id": number, "time": T * UNITS[of_rankings], "items": [1, 2.0], "user": user}
        for number, user in enumerate((" u ", "v"))
    ]
    done = [
        {"type": "VIEW", "item": item, "user": "u", "time": time * UNITS[of_events]}
        for item, time in zip(("1", "1", "2"), at, strict=True)
    ]
    given = (
        *("--rankings", str(write(tmp_path / "r.jsonl", shown))),
        *("--events", str(write(tmp_path / "e.jsonl", done))),
    )
    out = tmp_path / "out.jsonl"
    result = run(tmp_path / "home", "from-events", *given, "--out", str(out))
    assert result.exit_code == 0, result.output
    [row] = lines(out)
    assert (row["id"], row["user"], row["time"]) == ("0", "u", T)
    assert [event["time"] for event in row["history"]] == [T - 60]
    assert row["ratings"] == {"1": 1.0, "2": 1.0}


def test_odd_times_of_rankings_are_told(tmp_path: Path) -> None:
    times = (T, T * 1e3, "2026-09-21 12:13:20", 0, "yesterday")
    shown = [{"id": f"r{n}", "time": time, "items": ["1"]} for n, time in enumerate(times)]
    done = [{"type": "view", "item": "1", "user": "u", "time": T, "ranking": "r2"}]
    given = (
        *("--rankings", str(write(tmp_path / "r.jsonl", shown)), "--max-bad-share", "0.5"),
        *("--events", str(write(tmp_path / "e.jsonl", done)), "--json"),
    )
    out = tmp_path / "out.jsonl"
    result = run(tmp_path / "home", "from-events", *given, "--out", str(out))
    assert "line 4: time is 0, which stands for no time" in result.stderr
    assert "line 5: time is 'yesterday'" in result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["bad_lines"] == 2 and found["warnings"] == [
        "1 rankings have a time without a zone; it is read as UTC",
        "times come in mixed units: 1 in s, 1 in ms",
    ]
    [row] = lines(out)
    assert JudgedRequestReader().read(row).clock == "no_zone"  # the leak guard is to know
