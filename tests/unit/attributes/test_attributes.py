"""What is known of users beside events: kept, read by segments, exported and erased with them."""

import json
import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.shop import copy_home, patient

from indexes.errors import Failure
from indexes.times import TimeReader
from reranker.attributes import attributes as kept
from reranker.attributes.attributes import Attributes, Fact, read_fact
from reranker.blends.blend import DEFAULT
from reranker.blends.segments import Segment, When
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.ranking.ranking import Ranking, rerank
from reranker.ranking.state import load_state
from reranker.requests import Candidate, RerankRequest
from service.app import create_app, served
from service.commands.cli import run

AT = 1_795_428_000.0


def user_event(**more: Any) -> dict[str, Any]:
    fields = [{"name": "tier", "value": "gold"}, {"name": "likes", "value": ["tea", "art"]}]
    return {"event": "user", "id": "x", "timestamp": str(int(AT * 1000)), "user": "u1"} | {
        "fields": fields,
        **more,
    }


def view(user: str = "u1") -> dict[str, Any]:
    return {
        "event": "interaction",
        "id": f"v{user}",
        "timestamp": "1795400000000",
        "user": user,
    } | {
        "item": "17",
        "type": "view",
    }


def segment_named(ranking: Ranking) -> str | None:
    explanation = ranking.results[0].explanation
    assert explanation is not None
    return explanation.segment


@pytest.fixture
def home(shop_home: Path, tmp_path: Path) -> Path:
    return copy_home(shop_home, tmp_path / "home")


def test_the_newest_value_counts_and_a_moment_sees_what_was_known(tmp_path: Path) -> None:
    attributes = Attributes(tmp_path)
    assert attributes.of("u1") == {} and not (tmp_path / "attributes").exists()
    assert attributes.put([Fact("u1", 10, {"tier": "gold"}), Fact("u2", 10, {"age": 30})]) == 2
    attributes.put([Fact(" u1 ", 20, {"tier": "silver"}), Fact("u1", 5, {"tier": "new", "a": 1})])
    assert attributes.of("u1") == {"tier": "silver", "a": 1}
    assert attributes.of("u1", before=20) == {"a": 1}
    assert Attributes(tmp_path).of("u2") == {"age": 30}
    assert b"u1" not in b"".join(path.read_bytes() for path in (tmp_path / "attributes").iterdir())
    assert attributes.forget_before(10) == 1
    assert attributes.forget("u1") == 1 and attributes.of("u1") == {}
    assert attributes.of("u2") == {"age": 30}


def test_a_new_key_keeps_everybody(tmp_path: Path) -> None:
    attributes = Attributes(tmp_path)
    attributes.put([Fact(f"u{n}", 10, {"n": n}) for n in range(600)])
    names = PseudonymKeys(tmp_path).add()
    assert attributes.rename(names) == 600 and attributes.rename(names) == 0
    assert [attributes.of(f"u{n}") for n in range(600)] == [{"n": n} for n in range(600)]
    text = b"".join(path.read_bytes() for path in (tmp_path / "attributes").glob("*.json"))
    assert text.count(b'"~02') == 600 and b'"~01' not in text


def test_a_rotation_that_was_cut_off_loses_nobody(tmp_path: Path) -> None:
    attributes = Attributes(tmp_path)
    attributes.put([Fact("u1", 10, {"tier": "gold", "a": 1}), Fact("u2", 10, {"tier": "new"})])
    older = PseudonymKeys(tmp_path).open().user("u1")
    names = PseudonymKeys(tmp_path).add()  # and it was killed here
    assert attributes.of("u1") == attributes.of(older) == {"tier": "gold", "a": 1}
    attributes.put([Fact("u1", 20, {"tier": "silver"})])
    assert attributes.of("u1") == {"tier": "silver", "a": 1}
    assert attributes.forget("u1") == 2 and attributes.of("u1") == {}
    attributes.rename(names)
    assert attributes.of("u1") == {} and attributes.of("u2") == {"tier": "new"}


def test_who_waited_for_a_rotation_writes_under_the_new_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attributes, waiting = Attributes(tmp_path), kept.waiting
    attributes.put([Fact("u1", 10, {"tier": "gold"})])

    def after_a_rotation(lock: Path) -> AbstractContextManager[None]:
        monkeypatch.setattr(kept, "waiting", waiting)
        Attributes(tmp_path).rename(PseudonymKeys(tmp_path).add())
        return waiting(lock)

    monkeypatch.setattr(kept, "waiting", after_a_rotation)
    attributes.put([Fact("u1", 20, {"tier": "silver"})])
    assert b'"~01' not in b"".join(path.read_bytes() for path in tmp_path.glob("attributes/*.json"))
    assert attributes.of("u1") == {"tier": "silver"}


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"time": AT, "fields": {}}, "user"),
        ({"user": "u", "fields": {}}, "time"),
        ({"user": "u", "time": AT, "fields": {"a": {"b": 1}}}, "fields"),
        ({"user": "u", "time": AT, "fields": {"a": "x" * 600}}, "fields"),
        ({"user": "u", "time": AT, "fields": {str(n): n for n in range(200)}}, "fields"),
        ({"user": "u", "time": AT, "fields": {"a": math.nan}}, "fields"),
        ({"user": "u", "time": AT, "fields": {"a": [1.0, -math.inf]}}, "fields"),
        ({"user": "u", "time": AT, "fields": {"a": "\ud800"}}, "fields"),
    ],
)
def test_a_fact_that_is_none(row: dict[str, Any], field: str) -> None:
    with pytest.raises(Failure) as failed:
        read_fact(row, TimeReader())
    assert failed.value.field == field


def test_feedback_keeps_them_and_they_are_exported_and_erased(home: Path) -> None:
    app = create_app(patient(home))
    client = app.test_client()
    sent = [user_event(), user_event(user=None), user_event(fields=[]), view()]
    answer = client.post("/feedback", json=sent).get_json()
    assert (answer["accepted"], answer["updated"]) == (3, 1)
    assert [bad["position"] for bad in answer["rejected"]] == [1]
    exported = client.get("/users/u1").get_json()
    assert exported["attributes"] == {"tier": "gold", "likes": ["tea", "art"]}
    proof = client.delete("/users/u1").get_json()
    assert (proof["verified"], proof["attributes"], proof["events"]) == (True, 2, 1)
    assert client.get("/users/u1").status_code == 404
    served(app).histories.close()


def test_the_program_imports_exports_rotates_and_forgets(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(user_event()) + "\n" + json.dumps(user_event(timestamp="?")) + "\n")
    at = ["--home", str(home)]
    assert run([*at, "events", "import", str(path), "--max-bad-share", "0.5"]) == 0
    assert "attributes" in capsys.readouterr().out
    assert run([*at, "pseudonyms", "rotate"]) == 0
    capsys.readouterr()
    assert run([*at, "export", "u1"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "user": "u1",
        "attributes": {"tier": "gold", "likes": ["tea", "art"]},
    }
    assert run([*at, "forget", "u1", "--json"]) == 0
    proof = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (proof["known"], proof["attributes"], proof["verified"]) == (True, 2, True)
    assert run([*at, "export", "u1"]) == 1


@pytest.mark.parametrize(
    ("wanted", "user", "holds"),
    [
        ({"tier": ["silver", "gold"]}, "u1", True),
        ({"tier": ["gold"], "likes": ["art"]}, "u1", True),
        ({"tier": ["silver"]}, "u1", False),
        ({"age": [30]}, "u1", False),
        ({"tier": ["gold"]}, "u2", False),  # a history, and nothing known
        ({"tier": ["gold"]}, "u3", False),  # known, without a history: unpersonalised
    ],
)
def test_segments_read_them(home: Path, wanted: dict[str, Any], user: str, holds: bool) -> None:
    app = create_app(patient(home))
    sent = [user_event(), user_event(user="u3"), view(), view("u2")]
    app.test_client().post("/feedback", json=sent)
    state = load_state(patient(home), served(app).histories)
    segment = Segment(name="such", when=When(attributes=wanted), weights={"engine": 50.0})
    trial = msgspec.structs.replace(DEFAULT, segments=[segment])
    state.others["trial"] = (trial, 1)
    request = RerankRequest(
        [Candidate(str(n)) for n in range(20)],
        query="tea kettle",
        user=user,
        blend="trial",
        explain=True,
    )
    assert (segment_named(rerank(request, state)) == "such") is holds
    refused = msgspec.structs.replace(request, personalize=False)
    assert segment_named(rerank(refused, state)) is None
    served(app).histories.close()
