"""test_leaks.py: requests whose answers the model learned are refused, whatever clocks say."""

import json
import shutil
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from support.shop import TRAINED_AT, copy_home, small_shop

from indexes.workspace import Workspace
from reranker.commands.evaluate import evaluate_command
from reranker.commands.feedback import requests_commands
from reranker.commands.tune import tune_command
from reranker.evaluation.evaluate import Evaluation, evaluate
from reranker.evaluation.leakage import Leak
from reranker.evaluation.requests import JudgedRequestReader
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.model.settings import TrainSettings
from reranker.model.training_users import (
    TRAINING_USERS,
    TrainingUsers,
    save_training_users,
)
from reranker.model_selection.train import train
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.ranking.state import ServedState, load_state
from reranker.training.sequences import sequences_of

IDS = [item["id"] for item in small_shop()][:20]
HOUR = 3600.0
# Shopper u3 bought 3, viewed 8 and bought 13, the last of them then:
NEWEST = TRAINED_AT - 20 * 86_400 + 3 + 120


@pytest.fixture(scope="module")
def state(trained_home: Path) -> ServedState:
    return load_state(Workspace(trained_home))


def row(time: Any, user: str | None = "u3", item: str = "8", **more: Any) -> dict[str, Any]:
    named = {"id": f"{user} {item} {time}", "user": user, "time": time, "query": "rain jacket"}
    return named | {"candidates": [{"id": one} for one in IDS], "ratings": {item: 1}} | more


def evaluated(state: ServedState, *rows: dict[str, Any]) -> Evaluation:
    harmless = row(NEWEST, user="nobody")
    return evaluate([JudgedRequestReader().read(one) for one in (*rows, harmless)], state)


def iso(seconds: float, form: str) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        (NEWEST, "later"),
        (NEWEST * 1e3, "later"),
        (NEWEST * 1e6, "later"),
        (NEWEST * 1e9, "later"),
        (iso(NEWEST, "%Y-%m-%dT%H:%M:%SZ"), "later"),
        (iso(NEWEST, "%Y-%m-%dT%H:%M:%S"), "later"),
        (iso(NEWEST, "%Y%m%dT%H%M%SZ"), "later"),
        (NEWEST + 1, None),
        ((NEWEST + 1) * 1e3, None),
        (iso(NEWEST + 1, "%Y-%m-%d %H:%M:%S UTC"), None),
        (iso(NEWEST + 1, "%Y-%m-%d %H:%M:%S"), "no_zone"),
        (iso(NEWEST + 13 * HOUR, "%Y-%m-%d %H:%M:%S"), "no_zone"),
        (iso(NEWEST + 15 * HOUR, "%Y-%m-%d %H:%M:%S"), None),
        (iso(NEWEST + 13 * HOUR, "%Y-%m-%d %H:%M:%S+00:00"), None),
        (None, "missing"),
        ("", "missing"),
        (0, "implausible"),
        (2026, "implausible"),
        (45000.41, "implausible"),
        ("2099-01-01T00:00:00Z", "implausible"),
        (1e300, "implausible"),
    ],
)
def test_every_clock_is_seen_through(state: ServedState, time: Any, reason: str | None) -> None:
    found = evaluated(state, row(time))
    assert found.leaks_by == ({reason: 1} if reason else {})
    assert (found.leaks, found.queries) == ((1, 1) if reason else (0, 2))


@pytest.mark.parametrize(
    ("hours", "form"), [(1, None), (20, None), (20, "%Y-%m-%dT%H:%M:%SZ"), (20, "%Y-%m-%d %H:%M")]
)
def test_nothing_can_have_followed_a_time_that_has_not_come(
    state: ServedState, hours: float, form: str | None
) -> None:
    at = time.time() + hours * HOUR
    asked = at if form is None else iso(at, form)
    assert evaluated(state, row(asked)).leaks_by == {"ahead": 1}
    assert evaluated(state, row(asked, item="9"), row(asked, user="u99")).leaks == 0


@pytest.mark.parametrize("time", [None, 0, iso(NEWEST + HOUR, "%Y-%m-%d %H:%M:%S")])
def test_where_time_does_not_tell_the_answer_has_to_be_learned(
    state: ServedState, time: Any
) -> None:
    other = evaluated(state, row(time, item="9"), row(time, ratings={"9": 1, "8": 0}))
    assert (other.leaks, other.queries) == (0, 3)
    assert evaluated(state, row(time, ratings={"9": 1, "8": 0.5})).leaks == 1
    assert evaluated(state, row(time, user=" u3 ", ratings={" 8": 1})).leaks == 1
    assert evaluated(state, row(time, user="u4", ratings={"8": 1})).leaks == 0


def test_a_history_sent_along_tells_when_a_request_without_time_was(state: ServedState) -> None:
    before = [{"type": "view", "item": "1", "time": NEWEST - 1}]
    assert evaluated(state, row(None, item="9", history=before)).leaks_by == {"later": 1}
    at = [{"type": "view", "item": "1", "time": NEWEST}]
    assert evaluated(state, row(None, item="9", history=at)).leaks == 0
    assert evaluated(state, row(None, item="8", history=at)).leaks_by == {"missing": 1}


def test_a_session_is_that_of_the_user_it_became(own_home: Path) -> None:
    workspace = Workspace(own_home)
    histories = open_histories(workspace)
    for number in range(12):
        who = {"user": f"u{number}", "session": f"s{number}"}
        histories.append(
            [
                HistoryEvent(type="view", item=f"{item + number}", time=NEWEST + item, **who)
                for item in range(4)
            ]
        )
    histories.close()
    train(workspace, TrainSettings(epochs=1, minutes=0, width=16), on_line=lambda _line: None)
    state = load_state(workspace)
    asked = {"user": None, "session": "s3"}
    assert evaluated(state, row(NEWEST - 60, **asked)).leaks_by == {"later": 1}
    assert evaluated(state, row(None, item="4", **asked)).leaks_by == {"missing": 1}
    assert evaluated(state, row(None, item="9", **asked)).leaks == 0
    assert evaluated(state, row(NEWEST + 4, **asked)).leaks == 0


def later_visit(home: Path, user: str | None, session: str) -> None:
    """An event that came after the training, and says whose the session is."""
    histories = open_histories(Workspace(home))
    at = NEWEST + 60 * HOUR
    event = HistoryEvent(type="view", item="1", time=at, user=user, session=session)
    histories.append([event])
    histories.close()


def test_a_session_that_became_a_users_after_the_training_is_theirs(own_home: Path) -> None:
    workspace = Workspace(own_home)
    histories = open_histories(workspace)
    for number in range(12):
        histories.append(
            [
                HistoryEvent(
                    type="view", item=f"{item + number}", time=NEWEST + item, session=f"s{number}"
                )
                for item in range(4)
            ]
        )
    histories.close()
    train(workspace, TrainSettings(epochs=1, minutes=0, width=16), on_line=lambda _line: None)
    later_visit(own_home, "new", "s3")  # of events that were learned from
    state = load_state(workspace)
    assert evaluated(state, row(NEWEST - 60, user="new")).leaks_by == {"later": 1}
    assert evaluated(state, row(None, user="new", item="4")).leaks_by == {"missing": 1}
    assert evaluated(state, row(NEWEST + 4, user="new")).leaks == 0


def test_a_session_that_came_after_the_training_is_its_users(
    trained_home: Path, tmp_path: Path
) -> None:
    home = copy_home(trained_home, tmp_path / "home")
    later_visit(home, "u3", "unseen")
    state = load_state(Workspace(home))
    asked = {"user": None, "session": "unseen"}
    assert evaluated(state, row(NEWEST, **asked)).leaks_by == {"later": 1}
    assert evaluated(state, row(NEWEST + 1, **asked)).leaks == 0


def test_who_is_named_in_the_history_alone_is_the_requests_shopper(state: ServedState) -> None:
    event = {"type": "view", "item": "1", "time": NEWEST - HOUR, "user": " u3 "}
    asked = row(NEWEST - 60, user=None, history=[event])
    assert evaluated(state, asked).leaks_by == {"later": 1}
    assert evaluated(state, asked | {"history": [event | {"user": "u99"}]}).leaks == 0


@pytest.mark.parametrize("form", [None, "%Y-%m-%d %H:%M:%S"])
def test_a_stored_history_that_may_hold_the_answer_is_told_of(
    trained_home: Path, tmp_path: Path, form: str | None
) -> None:
    home = copy_home(trained_home, tmp_path / "home")
    later_visit(home, "new", "t")
    state = load_state(Workspace(home))
    at = NEWEST + 61 * HOUR
    asked = row(iso(at, form) if form else None, user="new", item="1")
    found = evaluated(state, asked)
    assert (found.leaks, found.queries) == (0, 2)
    [warning] = found.warnings
    assert warning.startswith("1 requests are ranked with events on items that they rate")
    assert evaluated(state, row(at, user="new", item="1")).warnings == []
    assert evaluated(state, row(None, user="new", item="2")).warnings == []
    days_later = iso(at + 48 * HOUR, "%Y-%m-%d %H:%M:%S")
    assert evaluated(state, row(days_later, user="new", item="1")).warnings == []


def test_a_model_that_does_not_note_items_refuses_what_it_cannot_tell(
    state: ServedState, tmp_path: Path
) -> None:
    assert state.model
    names = state.keys.open()
    digits = [bytes.fromhex(names.user(f"u{number}")[3:]) for number in range(4)]
    save_file(
        {
            "names": np.frombuffer(b"".join(digits), np.uint8).reshape(4, 16),
            "newest": np.full(4, NEWEST),
        },
        tmp_path / TRAINING_USERS,
        {"generation": f"{names.generation}", "fingerprint": names.fingerprint},
    )
    model = copy(state.model)
    model.folder = tmp_path
    learned = replace(state.personal.learned or pytest.fail(), model=model)
    before = replace(state, personal=replace(state.personal, learned=learned))
    found = evaluated(before, row(NEWEST), row(None, item="9"), row(NEWEST + 1), row(None, "u9"))
    assert found.leaks_by == {"later": 1, "missing": 1}
    assert "`reranker train` makes one that does" in found.warnings[0]


def test_what_is_noted_of_shoppers_is_exact() -> None:
    with TemporaryDirectory() as name:
        check_noted(Path(name), [("a", "1", 5.5)], [])


EVENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("12345"), st.floats(0, 2e9)), max_size=12
)


@settings(max_examples=40, deadline=None)
@given(EVENTS, EVENTS)
def test_what_is_noted_of_shoppers_is_exact_whatever_they_did(
    users: list[tuple[str, str, float]], sessions: list[tuple[str, str, float]]
) -> None:
    with TemporaryDirectory() as name:
        check_noted(Path(name), users, sessions)


def check_noted(
    folder: Path,
    users: Sequence[tuple[str, str, float]],
    sessions: Sequence[tuple[str, str, float]],
) -> None:
    keys = PseudonymKeys(folder)
    names = keys.open()
    named = [("u", names.user, one) for one in users] + [
        ("s", names.session, one) for one in sessions
    ]
    events = [
        (f"{kind} {hide(who)}", HistoryEvent(type="view", item=item, time=at))
        for kind, hide, (who, item, at) in named
    ]
    save_training_users(sequences_of(events, {"view": 1.0}), folder, names)
    keys.add()  # a rotation afterwards
    seen = TrainingUsers(folder, keys)
    for who in "abcd":
        mine = [(item, at) for name, item, at in users if name == who]
        theirs = [(item, at) for name, item, at in sessions if name == who]
        for user, session, done in (
            (who, None, mine),
            (None, who, theirs),
            (who, who, mine + theirs),
        ):
            assert seen.newest(user, session) == max((at for _, at in done), default=None)
            for item in "123456":
                assert seen.met(user, session, ["x", item]) == (item in dict(done))


def test_nobody_without_the_keys_reads_times_or_items(tmp_path: Path) -> None:
    names = PseudonymKeys(tmp_path / "home").open()
    at = 1_790_000_123.25
    events = [
        (f"u {names.user(who)}", HistoryEvent(type="purchase", item="item-17", time=at))
        for who in ("ann", "bob")
    ]
    met: set[int] = set()
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        save_training_users(sequences_of(events, {"purchase": 1.0}), folder, names)
        content = (folder / TRAINING_USERS).read_bytes()
        assert b"item-17" not in content
        assert np.float64(at).tobytes() not in content
        hashes = load_file(folder / TRAINING_USERS)["items"][:-1].tolist()
        assert len(set(hashes)) == 2  # the same item of two shoppers is not the same
        assert met.isdisjoint(hashes)  # nor is that of two versions of a model
        met.update(hashes)


def written(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return str(path)


def run(home: Path, command: Any, *arguments: str) -> tuple[Result, dict[str, Any]]:
    result = CliRunner().invoke(command, [*arguments, "--json"], obj=Workspace(home))
    last = result.stdout.strip().splitlines()
    return result, json.loads(last[-1]) if result.exit_code == 0 else {}


def test_evaluate_counts_the_refused_by_reason(trained_home: Path, tmp_path: Path) -> None:
    rows = [row(NEWEST), row(None), row(0), row(iso(NEWEST + 9, "%Y-%m-%dT%H:%M:%S"))]
    source = written(tmp_path / "r.jsonl", [*rows, row(NEWEST, user="nobody")])
    _, found = run(trained_home, evaluate_command, "--requests", source)
    assert found["leaks"] == 4 and found["queries"] == 1
    assert found["leaks_by"] == {"later": 1, "missing": 1, "implausible": 1, "no_zone": 1}
    assert [one.split(" ", 1)[1].split(";")[0] for one in found["warnings"]] == [
        "requests have an implausible time",
        "requests have a time without a zone",
    ]
    _, found = run(trained_home, evaluate_command, "--requests", source, "--allow-leak")
    assert (found["queries"], found.get("leaks", 0)) == (5, 0)
    text = CliRunner().invoke(evaluate_command, ["--requests", source], obj=Workspace(trained_home))
    assert text.stdout.count("1 requests refused: ") == 4


@pytest.mark.parametrize(
    "time", [None, 0, (NEWEST - 9) * 1e3, iso(NEWEST + 9, "%Y-%m-%dT%H:%M:%S")]
)
def test_evaluate_and_tune_do_without_requests_that_are_all_leaks(
    trained_home: Path, tmp_path: Path, time: Any
) -> None:
    rows = [row(time, user=f"u{number}", item=str(5 + number % 5)) for number in range(0, 40)]
    source = written(tmp_path / "r.jsonl", rows)
    for command in (evaluate_command, tune_command):
        result, _ = run(trained_home, command, "--requests", source)
        assert isinstance(result.exception, Leak), result.output
        assert "All 40 requests" in result.exception.message


def test_estimates_do_without_rankings_that_are_leaks(trained_home: Path, tmp_path: Path) -> None:
    home = copy_home(trained_home, tmp_path / "home")
    late = NEWEST + 2 * 86_400  # not on the day on which the training ended
    rankings = written(
        tmp_path / "rankings.jsonl",
        [
            {"id": "r1", "time": NEWEST - 90, "user": "u3", "query": "rain jacket", "items": IDS},
            {"id": "r2", "time": late, "user": "new", "query": "rain jacket", "items": IDS},
        ],
    )
    events = written(
        tmp_path / "events.jsonl",
        [
            {"type": "view", "item": "8", "time": NEWEST - 60, "user": "u3", "ranking": "r1"},
            {"type": "view", "item": "5", "time": late + 60, "user": "new", "ranking": "r2"},
        ],
    )
    curve = tmp_path / "curve.json"
    curve.write_text('{"examination": [1.0, 0.5]}')
    asked = ("estimate", "--blend", "default", "--rankings", rankings, "--events", events)
    asked += ("--positions", str(curve))
    result, found = run(home, requests_commands, *asked)
    assert result.exit_code == 0, result.output
    assert (found["leaks"], found["leaks_by"], found["clicks"]) == (1, {"later": 1}, 1)
    _, found = run(home, requests_commands, *asked, "--allow-leak")
    assert (found["leaks"], found["clicks"]) == (0, 2)
    _, found = run(home, requests_commands, *asked, "--blend", "engine")
    assert (found["leaks"], found["clicks"]) == (0, 2)  # nothing learned ranks
    shutil.rmtree(home, ignore_errors=True)
