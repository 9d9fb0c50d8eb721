"""POST /events: what was accepted is kept; one bad event costs no other."""

import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shop import small_app
from werkzeug.test import TestResponse

from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.events.cleaning import FIELDS
from reranker.events.settings import EventSettings, HistorySettings
from reranker.histories.histories import Histories
from reranker.histories.store import open_histories
from reranker.ingestion.importer import Importer
from reranker.pseudonyms.keys import PseudonymKeys
from service.app import create_app
from service.http.settings import LimitSettings
from service.observability.prometheus import Metrics

VIEW: dict[str, Any] = {"user": "u1", "type": "view", "item": "17", "time": 1_700_000_000}


@pytest.fixture
def histories(tmp_path: Path) -> Iterator[Histories]:
    brief = HistorySettings(wait_seconds=0.2)
    found = open_histories(Workspace(tmp_path / "home", {HistorySettings: brief}))
    yield found
    found.close()


@pytest.fixture
def events(histories: Histories) -> FlaskClient:
    return small_app(histories)


def answered(answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    assert set(found) == {"accepted", "duplicates", "conflicts", "bot_like", "rejected"}
    return found


def made(home: Path) -> Path:
    """The folder of a home's keys, with its first one."""
    keys = PseudonymKeys(home)
    keys.open()
    return keys.folder


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_one_an_array_and_lines(events: FlaskClient, histories: Histories) -> None:
    assert answered(events.post("/events", json=VIEW))["accepted"] == 1
    assert answered(events.post("/events", json=[VIEW, VIEW]))["accepted"] == 2
    assert answered(events.post("/events", data=lines(VIEW, VIEW, VIEW)))["accepted"] == 3
    assert answered(events.post("/events", data=json.dumps(VIEW, indent=2)))["accepted"] == 1
    assert answered(events.post("/events", json=[])) == {
        "accepted": 0,
        "duplicates": 0,
        "conflicts": 0,
        "bot_like": 0,
        "rejected": [],
    }
    assert len(histories.recent("u1")) == 7


def test_one_bad_event_costs_no_other(events: FlaskClient, histories: Histories) -> None:
    sent = [VIEW, VIEW | {"time": "soon"}, 7, VIEW | {"colour": 1}, VIEW | {"item": "2"}]
    for answer in (events.post("/events", json=sent), events.post("/events", data=lines(*sent))):
        found = answered(answer)
        assert found["accepted"] == 2
        assert [(bad["position"], bad["field"]) for bad in found["rejected"]] == [
            (1, "time"),
            (2, ""),
            (3, "colour"),
        ]
        assert "time is 'soon'" in found["rejected"][0]["message"]
    assert len(histories.recent("u1")) == 4


def test_lines_that_are_no_json_are_rejected_by_themselves(events: FlaskClient) -> None:
    body = lines(VIEW) + b'{"half\n' + lines(VIEW) + b'{"user": "\xff"}\n{"price": 1e999}'
    found = answered(events.post("/events", data=body))
    assert found["accepted"] == 2
    assert [bad["position"] for bad in found["rejected"]] == [1, 3, 4]


@pytest.mark.parametrize(
    "body", [b"", b"  ", b"7", b'"x"', b"{", b"[{]", b'[{"a": 1}', b"nonsense", b"[" * 100_000]
)
def test_what_is_not_json_is_400(events: FlaskClient, body: bytes) -> None:
    answer = events.post("/events", data=body)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "malformed_json")


@pytest.mark.promise(19)
def test_an_id_counts_once(events: FlaskClient, histories: Histories) -> None:
    sent = VIEW | {"id": "e1"}
    assert answered(events.post("/events", json=sent))["duplicates"] == 0
    again = answered(events.post("/events", json=sent))  # a retry: it is kept, as it was
    assert (again["accepted"], again["duplicates"]) == (1, 1)
    assert len(histories.recent("u1")) == 1


def test_other_content_under_one_id_is_kept_and_counted(
    events: FlaskClient, histories: Histories
) -> None:
    sent = [VIEW | {"id": "o-1"}, VIEW | {"id": "o-1", "item": "2"}, VIEW | {"id": 2}]
    sent.append(VIEW | {"id": "o-1", "user": "u2"})  # another shopper may count alike
    for duplicates, conflicts in ((0, 1), (4, 0)):
        found = answered(events.post("/events", json=sent))
        counts = found["accepted"], found["duplicates"], found["conflicts"]
        assert counts == (4, duplicates, conflicts)
    assert len(histories.recent("u1")) == 3


def test_an_import_and_a_post_know_the_same_events(
    histories: Histories, events: FlaskClient, tmp_path: Path
) -> None:
    sent = [VIEW | {"id": "o-1", "item": str(n), "session": "s"} for n in range(3)]
    path = tmp_path / "e.jsonl"
    path.write_bytes(lines(*sent[:2], sent[0] | {"time": VIEW["time"] * 1000}))
    done = Importer(Workspace(tmp_path / "home"), path, silent).run(histories)
    assert (done.stored, done.duplicates, done.conflicts) == (2, 1, 1)
    found = answered(events.post("/events", json=sent))
    assert (found["accepted"], found["duplicates"], found["conflicts"]) == (3, 2, 1)
    path.write_bytes(lines(*sent))
    done = Importer(Workspace(tmp_path / "home"), path, silent).run(histories)
    assert (done.stored, done.already_kept) == (0, 3)


def test_ids_that_name_nobody_are_absent_where_the_setting_says_so(histories: Histories) -> None:
    sent = [VIEW | {"user": "NULL"}, VIEW | {"user": "undefined", "session": "s"}]
    client = small_app(histories, settings=EventSettings(drop_null_ids=True))
    found = answered(client.post("/events", json=sent))
    assert found["accepted"] == 1
    assert [(bad["position"], bad["field"]) for bad in found["rejected"]] == [(0, "user")]
    assert len(histories.recent(session="s")) == 1
    assert answered(small_app(histories).post("/events", json=sent))["accepted"] == 2


def test_setting_request_events(histories: Histories) -> None:
    client = small_app(histories, settings=EventSettings(request_events=2))
    answer = client.post("/events", json=[VIEW] * 3)
    assert answer.status_code == 422
    assert "at most 2" in answer.get_json()["error"]["message"]
    assert answered(client.post("/events", json=[VIEW] * 2))["accepted"] == 2


def test_limits_of_body_and_query(histories: Histories) -> None:
    client = small_app(histories, LimitSettings(body_bytes=300, query_chars=10))
    assert client.post("/events", json=[VIEW] * 10).status_code == 413
    found = answered(client.post("/events", json=VIEW | {"query": "q" * 11}))
    assert found["rejected"][0]["field"] == "query"


def test_bots_are_reported(histories: Histories) -> None:
    client = small_app(histories, settings=EventSettings(bot_events_per_minute=5))
    fast = [VIEW | {"time": VIEW["time"] + n} for n in range(7)]
    basket = [VIEW | {"user": "b", "type": "purchase", "item": str(n)} for n in range(7)]
    found = answered(client.post("/events", json=[*fast, *basket]))
    assert (found["accepted"], found["bot_like"], found["rejected"]) == (14, 2, [])
    assert answered(client.post("/events", json=fast[0]))["bot_like"] == 1  # it is remembered
    later = VIEW | {"time": VIEW["time"] + 1000}
    assert answered(client.post("/events", json=later))["bot_like"] == 0


def test_setting_drop_bots(histories: Histories) -> None:
    dropping = EventSettings(bot_events_per_minute=5, drop_bots=True)
    client = small_app(histories, settings=dropping)
    sent = [VIEW | {"time": VIEW["time"] + n, "id": f"e{n}"} for n in range(7)]
    for duplicates in (0, 5):  # a retry has the same answer
        found = answered(client.post("/events", json=sent))
        assert (found["accepted"], found["duplicates"]) == (5, duplicates)
        assert found["bot_like"] == 0
        assert [(bad["position"], bad["field"]) for bad in found["rejected"]] == [
            (5, "user"),
            (6, "user"),
        ]
        assert "events.drop_bots" in found["rejected"][0]["message"]
    anonymous = [{key: event[key] for key in event if key != "user"} for event in sent]
    anonymous = [event | {"session": "s", "id": None} for event in anonymous]
    found = answered(client.post("/events", json=anonymous))
    assert [bad["field"] for bad in found["rejected"]] == ["session"] * 2


def test_events_are_counted_by_outcome_and_field(histories: Histories) -> None:
    metrics = Metrics()
    settings = EventSettings(bot_events_per_minute=5)
    client = small_app(histories, settings=settings, metrics=metrics)
    bad = [VIEW | {"time": "soon"}, VIEW | {"price": -1}, VIEW | {"u" * 50: 1}, VIEW | {"Q": 1}, 7]
    fast = [VIEW | {"id": f"e{n}"} for n in range(7)]
    other = fast[0] | {"time": fast[0]["time"] + 1}
    answered(client.post("/events", json=[*fast, fast[0], other, *bad]))
    text = metrics.exposition().decode()
    expected = {"accepted": 9, "duplicate": 1, "conflict": 1, "rejected": 5, "bot": 4}
    for outcome, count in expected.items():
        assert f'reranker_events_total{{outcome="{outcome}"}} {count}.0' in text
    counted = {line for line in text.splitlines() if line.startswith("reranker_events_rejected_to")}
    assert counted == {
        f'reranker_events_rejected_total{{field="{field}"}} {count}.0'
        for field, count in {"time": 1, "price": 1, "other": 2, "event": 1}.items()
    }


def test_dropped_bots_are_counted(histories: Histories) -> None:
    metrics = Metrics()
    dropping = EventSettings(bot_events_per_minute=5, drop_bots=True)
    answered(small_app(histories, None, dropping, metrics).post("/events", json=[VIEW] * 7))
    text = metrics.exposition().decode()
    assert 'reranker_events_total{outcome="bot"} 2.0' in text
    assert 'reranker_events_rejected_total{field="user"} 2.0' in text


@pytest.mark.promise(19)
def test_nothing_is_accepted_that_cannot_be_kept(events: FlaskClient, tmp_path: Path) -> None:
    events.post("/events", json=VIEW)
    other = sqlite3.connect(tmp_path / "home" / "events" / "history.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = events.post("/events", json=VIEW)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.get_json()["error"]["code"] == "history_busy"
    other.execute("ROLLBACK")
    other.close()
    assert answered(events.post("/events", json=VIEW))["accepted"] == 1


@pytest.mark.promise(19)
def test_many_senders_at_once(events: FlaskClient, histories: Histories) -> None:
    def send(name: str) -> None:
        client = events.application.test_client()
        for n in range(20):
            answered(client.post("/events", json=VIEW | {"user": name, "id": f"{name}-{n}"}))

    threads = [threading.Thread(target=send, args=(f"t{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(histories.recent(f"t{n}")) for n in range(6)] == [20] * 6


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["view", "search", "cart", "purchase", "cancel", "Look"]),
            "time": st.sampled_from([5, 6.5, "2024-05-01T10:00:00Z", "2024-05-01", "never"]),
        },
        optional={
            "user": st.sampled_from(["u", " u ", "v", ""]),
            "session": st.sampled_from(["s", "t"]),
            "item": st.text(max_size=3),
            "query": st.text(max_size=8),
            "price": st.sampled_from([0, 1.5, -1, None]),
            "id": st.sampled_from(["e1", "e2"]),
        },
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=20)
@given(ROWS)
def test_import_and_post_keep_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("both")
    file = folder / "e.jsonl"
    # A line that is always good: a file without any event is refused.
    rows = [VIEW, *rows]
    file.write_bytes(lines(*rows))
    imported, posted = (Workspace(folder / name) for name in ("imported", "posted"))
    shutil.copytree(made(imported.home), posted.home / "pseudonyms")
    one, other = open_histories(imported), open_histories(posted)
    summary = Importer(imported, file, silent).run(one, max_bad_share=1)
    found = answered(small_app(other).post("/events", json=rows))
    assert summary.rejected == len(found["rejected"])
    assert found["accepted"] + len(found["rejected"]) == len(rows)
    assert dict(one.stream()) == dict(other.stream())
    one.close()
    other.close()


def test_the_whole_service_keeps_events_and_describes_it(own_home: Path) -> None:
    workspace = Workspace(own_home)
    client = create_app(workspace).test_client()
    found = answered(client.post("/events", json=[VIEW, VIEW | {"item": "nowhere"}, {}]))
    assert (found["accepted"], len(found["rejected"])) == (2, 1)
    histories = open_histories(workspace)  # another process would see the same
    assert len(histories.recent("u1")) == 2
    histories.close()
    document = client.get("/openapi.json").get_json()
    described = document["components"]["schemas"]["SentEvent"]
    assert set(described["properties"]) == FIELDS
    assert set(document["paths"]["/events"]["post"]["responses"]) == {
        *("200", "400", "401", "403", "413", "415", "421", "422", "429", "500", "503")
    }
