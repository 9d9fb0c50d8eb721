"""GET /users/<id>/churn and `reranker churn`: one trained home, asked as shops ask."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from support.buyers import BEGIN, DAY, buyers
from support.shop import copy_home, patient

from indexes.workspace import Workspace
from reranker.applications.churn.churn import CHURN, churn_of, load_churn
from reranker.applications.churn.churn_examples import ChurnEvents, churn_events
from reranker.applications.churn.churn_publishing import fit_longest
from reranker.model.versions import model_store
from service.app import create_app, served
from service.commands.cli import run

NEWEST = max(event.time for event in buyers())


@pytest.fixture(scope="module")
def home(buyers_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the home of the buyers."""
    return copy_home(buyers_home, tmp_path_factory.mktemp("churn") / "home")


@pytest.fixture(scope="module")
def client(home: Path) -> FlaskClient:
    return create_app(patient(home)).test_client()


def churn(client: FlaskClient, user: str, **parameters: Any) -> dict[str, Any]:
    answer = client.get(f"/users/{user}/churn", query_string=parameters)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.get_json()
    return result


def active(client: FlaskClient) -> list[dict[str, Any]]:
    answers = [churn(client, f"b{number}") for number in range(40)]
    return [answer for answer in answers if answer["probability"] is not None]


def test_a_customer_has_a_probability_and_three_reasons_in_words(client: FlaskClient) -> None:
    answers = active(client)
    assert len(answers) > 20
    for answer in answers:
        assert 0 <= answer["probability"] <= 1 and answer["days"] == 30
        effects = [abs(reason["effect"]) for reason in answer["reasons"]]
        assert len(effects) == 3 and effects == sorted(effects, reverse=True)
        for reason in answer["reasons"]:
            raises = "raises" if reason["effect"] > 0 else "lowers"
            assert reason["text"].endswith(f": {raises} the risk.")
            assert not re.search(r"\b1 (days|orders|items|lines|views)\b", reason["text"])
        assert answer["value_at_risk"] >= 0 and answer["degraded"] == []
    assert len({answer["probability"] for answer in answers}) > 10


def test_now_is_the_newest_stored_event_unless_as_of(home: Path, client: FlaskClient) -> None:
    answer = active(client)[0]
    explicit = churn(client, answer["user"], as_of=f"{math.nextafter(NEWEST, math.inf)!r}")
    assert explicit == answer
    before = churn(client, answer["user"], as_of=BEGIN - DAY)
    assert before["probability"] is None and before["degraded"][0]["reason"] == "no_history"


def test_what_came_after_as_of_is_not_read(client: FlaskClient) -> None:
    """Asked as of a moment, the answer is that of a home whose events end there."""
    moment = NEWEST - 60 * DAY
    histories = served(client.application).histories
    user = next(event.user for event in buyers() if moment - 10 * DAY < event.time < moment - DAY)
    assert user is not None
    folder = served(client.application).state.personal.learned.model.folder
    card = load_churn(folder)
    assert card is not None
    past = [event for event in histories.recent(user, None, 1000) if event.time < moment]
    answer = msgspec.to_builtins(churn_of(user, card, past, moment, 30.0))
    assert churn(client, user, as_of=f"{moment!r}") == answer


def test_a_longer_horizon_leaves_less_time_to_be_gone(client: FlaskClient) -> None:
    user = active(client)[0]["user"]
    chances = [churn(client, user, days=days) for days in (7, 60, 365)]
    assert {answer["model"] for answer in chances} == {"bg-nbd"}
    values = [answer["probability"] for answer in chances]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("user", "reason"), [("gone", "not_active"), ("looks", "no_history"), ("nobody", "no_history")]
)
def test_who_has_no_probability_is_told_why(client: FlaskClient, user: str, reason: str) -> None:
    answer = churn(client, user)
    assert answer["probability"] is None and answer["reasons"] == []
    assert [entry["reason"] for entry in answer["degraded"]] == [reason]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("days=0", "days"),
        ("days=x", "days"),
        ("days=nan", "days"),
        ("as_of=soon", "as_of"),
        ("horizon=3", "horizon"),
    ],
)
def test_a_wrong_parameter_is_named(client: FlaskClient, query: str, field: str) -> None:
    answer = client.get(f"/users/b1/churn?{query}")
    assert answer.status_code == 422 and answer.get_json()["error"]["field"] == field


def test_a_model_without_churn_says_so(trained_home: Path, shop_home: Path) -> None:
    without = create_app(patient(trained_home)).test_client()
    assert churn(without, "u1")["degraded"][0]["reason"] == "no_churn_model"
    untrained = create_app(patient(shop_home)).test_client()
    assert churn(untrained, "u1")["degraded"][0]["reason"] == "no_model"


def test_the_published_model_is_text_and_numbers(home: Path) -> None:
    version = model_store(Workspace(home)).current()
    assert version is not None
    card = load_churn(version.folder)
    assert card is not None and card.newest == NEWEST
    assert card.log_loss[card.name] == min(card.log_loss.values())
    json.loads((version.folder / CHURN).read_text())


def command(home: Path, capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    assert run(["--home", str(home), "churn", *args, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result


def test_the_command_says_what_the_route_says(
    home: Path, client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = active(client)[0]
    assert command(home, capsys, answer["user"]) == answer


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_audience_has_scores_reasons_and_value_at_risk(
    home: Path,
    client: FlaskClient,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    suffix: str,
) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("".join(f"b{number}\n" for number in range(40)))
    out = tmp_path / f"audience.{suffix}"
    done = command(home, capsys, "--all", "--out", str(out), "--users", str(ids))
    rows = rows_of(out)
    assert done["customers"] == len(rows)
    wanted = {answer["user"]: answer for answer in active(client)}
    assert {row["user"] for row in rows} == wanted.keys()
    risks = [float(row["probability"]) for row in rows]
    assert risks == sorted(risks, reverse=True)
    for row in rows:
        answer = wanted[row["user"]]
        assert float(row["probability"]) == pytest.approx(answer["probability"])
        assert float(row["value_at_risk"]) == pytest.approx(answer["value_at_risk"])
        assert row["reason_1"] == answer["reasons"][0]["text"]


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    parquet = pytest.importorskip("pyarrow.parquet")
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def test_without_a_model_the_command_names_the_next_one(
    shop_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(shop_home), "churn", "u1"]) == 1
    assert "reranker train" in capsys.readouterr().err
    assert run(["--home", str(shop_home), "churn", "--all"]) == 2


def test_a_young_base_gets_a_model_of_a_shorter_horizon() -> None:
    def events(days: float) -> ChurnEvents:
        past = (event for event in buyers() if event.time >= NEWEST - days * DAY)
        return churn_events((event.user or "", event) for event in past)

    young = fit_longest(events(90), 1000)
    assert young is not None and young.days == 14
    assert young.model_of(30)[0] == "bg-nbd" and young.model_of(14)[0] == young.name
    assert fit_longest(events(20), 1000) is None
