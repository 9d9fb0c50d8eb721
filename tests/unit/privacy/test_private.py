"""Private: who is kept under which name, what nobody agreed to, and how it goes away."""

import hashlib
import json
import logging
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from support.shop import patient

from indexes.workspace import Workspace
from reranker.commands.events import events_commands, forget_command, pseudonyms_commands
from reranker.errors import HistoryFailure
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.feedback.settings import RankingLogSettings
from reranker.histories.files import names_row
from reranker.histories.store import SqliteHistories, open_histories
from reranker.privacy.retention import expire
from reranker.pseudonyms.keys import PseudonymKeys
from service.app import create_app, ranking_log, retention
from service.observability.logs import stderr_handler
from service.observability.settings import LogSettings

USER, SESSION = "marker-user-4711", "marker-session-0815"
CANDIDATES = [{"id": f"{number}"} for number in range(1, 7)]


def view(at: float, item: str = "1", **more: Any) -> HistoryEvent:
    return HistoryEvent(type="view", item=item, time=at, **more)


def whole(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def run(command: Any, home: Path, *args: str) -> Any:
    done = CliRunner().invoke(command, args, obj=Workspace(home), catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.promise(29)
def test_names_are_nowhere_on_the_disk(tmp_path: Path) -> None:
    store = open_histories(Workspace(tmp_path))
    store.append([view(n, user=USER, session=SESSION) for n in range(20)])
    store.append([view(n, session=SESSION + "-2") for n in range(20)])
    assert len(store.recent(USER)) == len(store.recent(session=SESSION + "-2")) == 20
    content = whole(tmp_path)
    assert USER.encode() not in content and SESSION.encode() not in content
    keys = PseudonymKeys(tmp_path)
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert keys.folder.stat().st_mode & 0o777 == 0o700
    (kept,) = store.users()
    assert len(store.recent(kept)) == 20  # a pseudonym is a name, too
    assert [one.user for one in store.export(USER)] == [USER] * 20
    store.close()


def test_after_a_rotation_everybody_is_still_there_and_the_old_key_links_nothing(
    own_home: Path,
) -> None:
    app = create_app(patient(own_home))
    client = app.test_client()
    event = {"type": "view", "item": "1", "time": 1e9, "user": USER, "session": SESSION}
    assert client.post("/events", json=event | {"id": "e1"}).get_json()["accepted"] == 1
    client.post("/rerank", json={"user": USER, "query": "tea", "candidates": CANDIDATES})
    ranking_log(app).flush()
    keys = PseudonymKeys(own_home)
    before = keys.open()
    assert before.user(USER).encode() in whole(own_home)
    done = run(pseudonyms_commands, own_home, "rotate", "--json")
    assert (done["generation"], done["shoppers"], done["rankings"]) == (2, 2, 1)
    content = whole(own_home)
    for name in (before.user(USER), before.session(SESSION), USER, SESSION):
        assert name.encode() not in content
    # A worker that ran all the time: it reads, knows the event again, and writes new ones.
    histories = app.extensions["served"].histories
    assert len(histories.recent(USER)) == 1
    assert client.post("/events", json=event | {"id": "e1"}).get_json()["duplicates"] == 1
    client.post("/events", json=event | {"id": "e2"})
    client.post("/rerank", json={"user": USER, "query": "tea", "candidates": CANDIDATES})
    ranking_log(app).flush()
    assert len(histories.recent(before.user(USER))) == 2  # an old pseudonym is carried on
    gone = run(forget_command, own_home, USER, "--json")
    assert (gone["events"], gone["rankings"]) == (2, 2)


def test_forget_finds_what_a_killed_rotation_had_not_come_to(own_home: Path) -> None:
    app = create_app(patient(own_home))
    client = app.test_client()
    client.post("/events", json={"type": "view", "item": "1", "time": 1e9, "user": USER})
    client.post("/rerank", json={"user": USER, "query": "hiv test", "candidates": CANDIDATES})
    ranking_log(app).flush()
    store = open_histories(Workspace(own_home))
    assert isinstance(store, SqliteHistories)
    store.rename(PseudonymKeys(own_home).add())  # and then it is killed: no ranking was re-keyed
    store.close()
    gone = run(forget_command, own_home, USER, "--json")
    assert (gone["events"], gone["rankings"], gone["verified"]) == (1, 1, True)
    assert b"hiv test" not in b"".join(
        path.read_bytes() for path in (own_home / "rankings").glob("*.jsonl")
    )


def test_only_what_commands_left_is_a_leftover(own_home: Path) -> None:
    folder = own_home / "rankings"
    folder.mkdir()
    today = time.strftime("%Y-%m-%d", time.gmtime())
    packed, left = folder / f"{today}.jsonl.gz", folder / f"{today}.jsonl.4711"
    for path in (packed, left):
        path.write_bytes(b"")
        os.utime(path, (1e9, 1e9))
    shadows = own_home / "shadows"
    shadows.mkdir()
    (shadows / "2026-01-01.jsonl").write_bytes(b"{}\n")
    histories = open_histories(Workspace(own_home))
    done = expire(Workspace(own_home), histories)
    histories.close()
    assert packed.exists() and not left.exists() and not list(shadows.iterdir())
    assert (done.leftovers, done.days_of_rankings) == (1, 1)


def test_a_lost_key_is_said_and_nothing_is_mixed(tmp_path: Path) -> None:
    store = open_histories(Workspace(tmp_path))
    store.append([view(1, user=USER)])
    store.close()
    (tmp_path / "pseudonyms" / "keys").unlink()
    other = open_histories(Workspace(tmp_path))
    with pytest.raises(HistoryFailure, match="keys"):
        other.append([view(2, user=USER)])
    with pytest.raises(HistoryFailure, match="keys"):
        other.recent(USER)


def test_without_consent_nothing_is_written(own_home: Path) -> None:
    app = create_app(patient(own_home))
    client = app.test_client()
    body = {"user": USER, "session": SESSION, "query": "marker query", "candidates": CANDIDATES}
    before = {path for path in own_home.rglob("*") if path.is_file()}
    assert client.post("/rerank", json=body | {"personalize": False}).status_code == 200
    event = {"type": "view", "item": "1", "time": 1e9, "user": USER, "personalize": False}
    answer = client.post("/events", json=event).get_json()
    assert answer["accepted"] == 0 and answer["rejected"][0]["field"] == "personalize"
    ranking_log(app).flush()
    assert {path for path in own_home.rglob("*") if path.is_file()} == before
    assert b"marker query" not in whole(own_home)
    assert client.post("/events", json=event | {"personalize": True}).get_json()["accepted"] == 1


def test_an_import_leaves_out_who_does_not_agree(tmp_path: Path) -> None:
    rows = [
        {"type": "view", "item": "1", "time": 1e9 + n, "user": USER, "personalize": n % 2 == 0}
        for n in range(10)
    ]
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run(events_commands, tmp_path / "home", "import", str(path), "--json")
    assert (done["read"], done["without_consent"], done["stored"]) == (10, 5, 5)


@pytest.mark.promise(30)
def test_a_running_service_deletes_by_age(own_home: Path) -> None:
    settings = HistorySettings(days=1)
    workspace = Workspace(own_home, {HistorySettings: settings})
    store = open_histories(Workspace(own_home))
    now = time.time()
    store.append([view(now - 90_000, "old-item", user=USER), view(now, user=USER)])
    (own_home / "rankings").mkdir(exist_ok=True)
    (own_home / "rankings" / "2020-01-01.jsonl").write_text("{}\n")
    left = own_home / "events" / "join-left"
    left.mkdir()
    os.utime(left, (1, 1))
    app = create_app(workspace)
    done = retention(app).look()
    assert done is not None
    assert (done.events, done.days_of_rankings, done.leftovers) == (1, 1, 1)
    assert [one.item for one in store.export(USER)] == ["1"]
    assert b"old-item" not in whole(own_home) and not left.exists()
    assert retention(app).look() is None  # not due again: any other worker finds the same
    assert 'reranker_expired_total{what="events"} 1.0' in app.test_client().get("/metrics").text
    store.close()


def test_setting_expire_hours(own_home: Path) -> None:
    never = Workspace(own_home, {HistorySettings: HistorySettings(days=1, expire_hours=0)})
    app = create_app(never)
    app.extensions["served"].histories.append([view(time.time(), user=USER)])
    assert retention(app).look() is None and retention(app).watch() is None
    often = HistorySettings(days=1, expire_hours=1e-9)
    other = create_app(Workspace(own_home, {HistorySettings: often}))
    assert retention(other).look() is not None
    assert retention(other).look() is not None


@pytest.mark.promise(30)
def test_forget_proves_that_nothing_is_left(own_home: Path) -> None:
    app = create_app(patient(own_home))
    client = app.test_client()
    for number in range(30):
        event = {"type": "view", "item": "3", "time": 1e9 + number, "session": SESSION}
        client.post("/events", json=event | ({"user": USER} if number else {}))
    body = {"query": "tea", "candidates": CANDIDATES, "user": USER}
    client.post("/rerank", json=body)
    ranking_log(app).flush()
    names = PseudonymKeys(own_home).open()
    assert names.user(USER).encode() in whole(own_home)
    done = run(forget_command, own_home, USER, "--json")
    assert (done["events"], done["sessions"], done["rankings"]) == (30, 1, 1)
    assert done["verified"] and done["name_searched"] and done["pseudonym"] == names.user(USER)
    assert "events/history.db" in done["searched"]["scanned"]
    receipt = done.pop("receipt")
    said = msgspec.json.encode(done, order="sorted")
    assert hashlib.sha256(said).hexdigest() == receipt
    content = whole(own_home)
    for name in (USER, SESSION, names.user(USER), names.session(SESSION)):
        assert name.encode() not in content
    again = client.post("/rerank", json=body).get_json()
    new = client.post("/rerank", json=body | {"user": "nobody-yet"}).get_json()
    assert again["results"] == new["results"] and again["degraded"] == new["degraded"]


def test_forget_says_where_the_name_is_still(own_home: Path) -> None:
    store = open_histories(Workspace(own_home))
    store.append([view(1, user=USER)])
    store.close()
    (own_home / "requests").mkdir()
    (own_home / "requests" / "r.jsonl").write_text(json.dumps({"user": USER}) + "\n")
    said = CliRunner().invoke(forget_command, [USER, "--json"], obj=Workspace(own_home))
    done = json.loads(said.stdout)
    assert said.exit_code == 1 and not done["verified"]
    assert done["searched"]["found"] == ["requests/r.jsonl"]


def test_an_erasure_that_was_interrupted_is_ended(tmp_path: Path) -> None:
    store = open_histories(Workspace(tmp_path))
    store.append([view(n, f"marker-{n}", user=USER) for n in range(500)])
    store._transaction(lambda write: write.forget(True, USER))  # type: ignore[attr-defined]
    store.close()  # killed before the file was written anew
    open_histories(Workspace(tmp_path)).close()
    assert b"marker-7" not in whole(tmp_path)
    db = sqlite3.connect(tmp_path / "events" / "history.db")
    assert not names_row(db).to_erase
    db.close()


MARKERS = (USER, SESSION, "marker query", "marker-item")


@pytest.mark.promise(29)
def test_logs_and_metrics_name_nobody_and_stay_small(
    own_home: Path, capfd: pytest.CaptureFixture[str], record_property: Any
) -> None:
    """Many shoppers and every kind of failure; callers may read back what they sent."""
    quiet = Workspace(own_home, {RankingLogSettings: RankingLogSettings(log=False)})
    log = logging.getLogger("reranker")
    log.handlers[:] = [stderr_handler(LogSettings())]
    app = create_app(quiet)
    client = app.test_client()

    def ask(number: int) -> None:
        who = {"user": f"{USER}-{number}", "session": f"{SESSION}-{number}"}
        candidates = [*CANDIDATES, {"id": "marker-item"}]
        body = {"query": f"marker query {number}", "candidates": candidates} | who
        event = {"type": "view", "item": "marker-item", "time": 1e9, "query": "marker query"}
        assert client.post("/rerank", json=body).status_code == 200
        client.post("/events", json=event | who)
        client.post("/events", json=event | who | {"time": "marker-item", "marker-item": 1})
        client.post("/rerank", json=body | {"marker-item": 1})
        client.post("/rerank", json=body | {"history": [{"type": "marker-item", "time": USER}]})
        client.get(f"/{USER}")
        client.post("/next-action", json=who)

    for number in range(3):
        ask(number)
    first = len(client.get("/metrics").text.splitlines())
    runs = 30
    for number in range(runs):
        ask(number)
    for path in (own_home / "events").glob("history.db*"):
        path.unlink()
    (own_home / "events" / "history.db").write_bytes(b"no database" * 1000)  # and errors
    ask(runs)
    record_property("runs", runs)
    metrics = client.get("/metrics").text
    assert len(metrics.splitlines()) <= first + 40  # new reasons, but nothing by shopper
    said = capfd.readouterr()
    log.handlers.clear()
    assert "history" in said.err  # failures are told
    content = whole(own_home).decode("latin-1")
    for marker in (USER, SESSION):
        assert marker not in content
    for marker in MARKERS:
        assert marker not in said.out + said.err + metrics
    assert not (own_home / "rankings").exists()


@pytest.mark.heavy
@pytest.mark.promise(29)
def test_a_hundred_thousand_users_make_no_series(own_home: Path, record_property: Any) -> None:
    record_property("runs", 100_000)
    client = create_app(patient(own_home)).test_client()

    def send(first: int) -> int:
        some = [
            {"type": "view", "item": f"{n}", "time": 1e9, "user": f"{USER}-{n}"}
            for n in range(first, first + 5000)
        ]
        assert client.post("/events", json=some).get_json()["accepted"] == 5000
        client.post("/rerank", json={"user": f"{USER}-{first}", "candidates": CANDIDATES})
        return len(client.get("/metrics").text.splitlines())

    send(100_000)  # the first look at the metrics has not been counted yet, nor the first ranking
    series = [send(first) for first in range(0, 100_000, 5000)]
    assert len(set(series)) == 1
