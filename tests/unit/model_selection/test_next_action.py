"""What a shopper does next in the visit: labels, features, head, metrics, command, route."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shop import patient, small_shop, write_items

from indexes.build.rebuild import rebuild
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.events.events import TYPES, HistoryEvent
from reranker.histories.store import open_histories
from reranker.metrics.classification import action_metrics, calibration_error
from reranker.model.action_head import ActionCard, fit_head, load_head, save_head
from reranker.model.next_action import action_features, lacking
from reranker.training.actions import action_cases, best_learned
from reranker.training.sequences import sequences_of
from service.app import create_app
from service.commands.cli import run

MINUTE = 60.0


def test_labels_by_hand() -> None:
    rows = [("view", 0), ("cart", 5), ("view", 10), ("purchase", 12), ("view", 100), ("view", 999)]
    events = [("a", HistoryEvent(type=kind, item="1", time=at * MINUTE)) for kind, at in rows]
    cases = action_cases(sequences_of(events, TYPES), 30)
    assert cases.open_visits == 1  # the last visit may go on
    assert cases.positions.tolist() == [0, 1, 2, 3, 4]
    purchase, cart, leave = cases.labels.T.tolist()
    assert purchase == [True, True, True, False, False]
    assert cart == [True, False, False, False, False]
    assert leave == [False, False, False, True, True]


def test_another_shoppers_events_are_another_visit() -> None:
    events = [
        (who, HistoryEvent(type=kind, item="1", time=at))
        for who, kind, at in (("a", "view", 1.0), ("b", "purchase", 2.0), ("c", "view", 9e9))
    ]
    cases = action_cases(sequences_of(events, TYPES), 30)
    assert cases.labels[:, 0].tolist() == [False, False]
    assert cases.labels[:, 2].tolist() == [True, True]


def test_features_by_hand() -> None:
    types = np.array([0, 1, 0])
    times = np.array([0.0, 10_000.0, 10_060.0])
    found = np.expm1(action_features(types, times, 2, 30)[:9])
    np.testing.assert_allclose(found, [3, 60, 60, 2, 2, 2, 1, 1, 1], rtol=1e-5)
    assert action_features(types, times, 2, 30)[9:].tolist() == [1.0, 0.0]


def test_metrics_by_hand() -> None:
    truth = np.array([True, False, True, False])
    scores = np.array([0.9, 0.8, 0.7, 0.1])
    measured = action_metrics(truth, scores)
    assert measured["base_rate"] == 0.5
    assert measured["auc"] == 0.75
    assert measured["pr_auc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert measured["brier"] == pytest.approx((0.01 + 0.64 + 0.09 + 0.01) / 4)
    assert measured["ece"] == pytest.approx((0.1 + 0.8 + 0.3 + 0.1) / 4)
    assert calibration_error(truth, np.array([1.0, 0.0, 1.0, 0.0])) == 0.0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_metrics_of_anything_are_numbers_or_not_defined(rows: list[tuple[bool, int]]) -> None:
    truth = np.array([happened for happened, _ in rows])
    chances = np.array([fifths / 5 for _, fifths in rows])
    measured = action_metrics(truth, chances)
    assert np.isnan(measured["auc"]) == (truth.all() or not truth.any())
    assert np.isnan(measured["pr_auc"]) == (not truth.any())
    pairs = [(yes, no) for yes in chances[truth] for no in chances[~truth]]
    if pairs:  # the chance that one that happened scores above one that did not
        above = np.mean([(yes > no) + 0.5 * (yes == no) for yes, no in pairs])
        assert measured["auc"] == pytest.approx(above)
    assert measured["brier"] == pytest.approx(np.mean((chances - truth) ** 2))
    assert 0.0 <= measured["ece"] <= 1.0


def test_a_head_learns_what_is_there_and_says_honest_chances(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(6000, 6)).astype(np.float32)
    chance = 1 / (1 + np.exp(-2 * np.abs(inputs[:, 0]) + 2))  # no line can tell it
    labels = np.column_stack([rng.random(6000) < chance] * 3)
    labels[:, 1] = False
    shoppers = np.arange(6000) // 3
    head = fit_head(inputs[:4000], labels[:4000], shoppers[:4000], 32)
    line = fit_head(inputs[:4000], labels[:4000], shoppers[:4000], 0)
    truth = labels[4000:, 0]
    curved, straight = (action_metrics(truth, each(inputs[4000:])[:, 0]) for each in (head, line))
    assert curved["auc"] > straight["auc"] + 0.1
    assert curved["ece"] < 0.05
    assert head(inputs)[:, 1].max() < 0.01
    save_head(head, ActionCard(possible=["leave"], types=[], session_minutes=30), tmp_path)
    loaded = load_head(tmp_path)
    assert loaded is not None
    np.testing.assert_array_equal(loaded[0](inputs), head(inputs))


STEPS = "[train]\nepochs = 12\nminutes = 0\nencoder_proof = false\n"  # the same on a slow machine


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Who views two items in a visit buys the second; who views one leaves."""
    folder = tmp_path_factory.mktemp("actions")
    workspace = Workspace(folder / "home")
    rebuild(workspace, write_items(folder / "items.jsonl", small_shop()), progress=silent)
    histories = open_histories(workspace)
    rng = np.random.default_rng(3)
    for shopper in range(80):
        events = []
        for visit in range(4):
            start = 1e9 + visit * 86_400 + shopper * 97
            items = rng.integers(20, size=2)
            steps = [("view", items[0])]
            if (shopper + visit) % 2:
                steps += [("view", items[1]), ("purchase", items[1])]
            events += [
                HistoryEvent(type=kind, item=str(item), time=start + 60 * at, user=f"u{shopper}")
                for at, (kind, item) in enumerate(steps)
            ]
        histories.append(events)
    histories.close()
    (workspace.home / "settings.toml").write_text(STEPS)
    return workspace.home


def test_the_command_beside_its_baseline(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--home", str(home), "evaluate", "next-action"]
    assert run([*asked, "--json"]) == 0
    found = msgspec.json.decode(capsys.readouterr().out.splitlines()[-1])
    assert found["cases"] > 50
    assert found["not_possible"] == ["cart"]
    for who in ("model", "logistic"):
        assert found["metrics"][who]["purchase"]["auc"] > 0.7
    assert {"mean", "low", "high"} == set(found["difference"]["leave"]["brier"])
    assert run(asked) == 0
    said = capsys.readouterr().out
    assert "cart: not possible here" in said
    assert "purchase" in said


def test_the_route(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = create_app(patient(home)).test_client()
    none = client.post("/next-action", json={"user": "u1"}).get_json()
    assert none["actions"] == {}
    assert none["degraded"] == [{"signal": "next_action", "reason": "no_model"}]
    assert run(["--home", str(home), "train"]) == 0
    client = create_app(patient(home)).test_client()
    history = [
        {"type": "view", "item": "1", "time": 1e9},
        {"type": "view", "item": "2", "time": 1e9 + 60},
    ]
    twice = client.post("/next-action", json={"history": history}).get_json()
    [missing] = twice["degraded"]
    assert (missing["signal"], missing["reason"]) == ("next_action", "no_carts")
    assert '"order=cart" in the setting events.types' in missing["message"]
    assert twice["versions"]["model"]
    assert set(twice["actions"]) == {"purchase", "leave"}
    once = client.post("/next-action", json={"history": history[:1]}).get_json()
    assert twice["actions"]["purchase"] > 0.7 > 0.3 > twice["actions"]["leave"]
    assert once["actions"]["leave"] > twice["actions"]["leave"]
    stored = client.post("/next-action", json={"user": "u1"}).get_json()
    assert set(stored["actions"]) == {"purchase", "leave"}
    nobody = client.post("/next-action", json={"user": "nobody"}).get_json()
    assert nobody["degraded"] == [{"signal": "next_action", "reason": "no_history"}]
    for wrong, field in (({"users": "x"}, "users"), ({"history": 3}, "history")):
        answer = client.post("/next-action", json=wrong)
        assert answer.status_code == 422
        assert answer.get_json()["error"]["field"] == field
    assert client.post("/next-action", data=b"{").status_code == 400


def test_a_shop_with_words_of_its_own_is_told_how_to_name_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path / "home")
    rebuild(workspace, write_items(tmp_path / "items.jsonl", small_shop()), progress=silent)
    (tmp_path / "home" / "settings.toml").write_text('[events]\ntypes = ["order=5"]\n')
    histories = open_histories(workspace)
    histories.append(
        [
            HistoryEvent(type=kind, item=f"{visit % 20}", time=1e9 + visit * 86_400, user=f"u{who}")
            for who in range(80)
            for visit in range(4)
            for kind in ("view", "order")
        ]
    )
    histories.close()
    asked = ["--home", str(workspace.home), "evaluate", "next-action"]
    assert run([*asked, "--json"]) == 1
    error = msgspec.json.decode(capsys.readouterr().out.splitlines()[-1])["error"]
    assert (error["code"], error["field"]) == ("no_purchases", "events.types")
    assert "of the types view, order: no purchase and no cart" in error["message"]
    said = lacking("purchase", ["view", "order"])
    assert said.startswith("No event has the type purchase; types of their own are order.")
    assert '"order=purchase" in the setting events.types' in said


def test_the_user_vector_is_read_only_where_it_helps_at_unseen_moments() -> None:
    rng = np.random.default_rng(3)
    plain = rng.normal(size=(1200, 3)).astype(np.float32)
    vector = rng.normal(size=(1200, 8)).astype(np.float32)
    shoppers, unseen = np.arange(1200) // 4, np.arange(1200) % 4 == 3
    whole = np.concatenate([vector, plain], axis=1)
    tells = np.repeat(vector[:, :1] > 0, 3, axis=1)
    assert best_learned(whole, plain, tells, shoppers, unseen) == "everywhere"
    # A vector that has learned the answers of the moments it saw, and knows nothing of others.
    answers = rng.random((1200, 1)) < 0.5
    learned = whole.copy()
    learned[~unseen, 0] = answers[~unseen, 0] * 2.0 - 1.0
    labels = np.repeat(answers, 3, axis=1)
    assert best_learned(learned, plain, labels, shoppers, unseen) == "logistic"
    nowhere = np.zeros(1200, bool)
    assert best_learned(whole, plain, tells, shoppers, nowhere) == "logistic"  # nothing to try on


def test_a_head_learns_where_the_encoder_has_seen_nothing_if_that_foresees_better() -> None:
    """At the moments that it learned from, the vector knows the answer in a number that says
    nothing later; another number tells something everywhere."""
    rng = np.random.default_rng(5)
    count = 6000
    plain = rng.normal(size=(count, 3)).astype(np.float32)
    shoppers, unseen = np.arange(count) // 4, np.arange(count) % 2 == 1
    answers = rng.random(count) < 0.5
    vector = rng.normal(size=(count, 4)).astype(np.float32)
    vector[:, 1] += answers * 2.0
    vector[~unseen, 0] += (answers[~unseen] * 2.0 - 1.0) * 4.0
    whole = np.concatenate([vector, plain], axis=1)
    labels = np.repeat(answers[:, None], 3, axis=1)
    assert best_learned(whole, plain, labels, shoppers, unseen) == "unseen"
