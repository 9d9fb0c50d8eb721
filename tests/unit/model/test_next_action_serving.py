"""test_next_action_serving.py: training and serving read and ask the same."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from support.torch_models import load_model, with_queries

from indexes.encoders.query_encoder import load_query_encoder
from indexes.items.index import ItemIndex
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.events.events import TYPES, HistoryEvent
from reranker.model.action_head import ActionCard, load_head
from reranker.model.card import ACTIONS
from reranker.model.learned import Learned
from reranker.model.next_action import NextAction
from reranker.model.served_model import ServedModel
from reranker.model.settings import TrainSettings
from reranker.model.versions import model_store
from reranker.ranking.deadlines import DeadlineRanker
from reranker.runtime.budget import Breakers
from reranker.runtime.caches import QueryVectors
from reranker.signals.user_history import Personalization
from reranker.training.actions import action_cases, fit_next_action, model_inputs, plain_inputs
from reranker.training.publish import publish_model, write_model
from reranker.training.sequences import sequences_of
from service.api.next_action import NextActions, next_action_routes
from service.api.requests import RequestReader
from service.http.settings import LimitSettings

LENGTH = 8
MINUTES = 30.0


def test_between_the_lines_of_a_basket_nothing_is_foreseen() -> None:
    """Three lines bought at once: asked is after the third, where no purchase follows."""
    rows = [("a", "purchase", 0.0)] * 3 + [("b", "view", 0.0), ("b", "view", 60.0)]
    rows += [("c", "view", 1e9)]
    events = [(who, HistoryEvent(type=kind, item="1", time=time)) for who, kind, time in rows]
    cases = action_cases(sequences_of(events, TYPES), MINUTES)
    assert cases.positions.tolist() == [2, 3, 4]  # a and b meet at one time, and both are asked
    assert cases.labels[:, ACTIONS.index("purchase")].tolist() == [False, False, False]
    assert cases.labels[:, ACTIONS.index("leave")].tolist() == [True, False, True]
    assert (cases.same_moment, cases.open_visits) == (2, 1)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(("view", "cart", "purchase")),
            st.sampled_from((0.0, 0.0, 1.0, 1800.0, 1801.0, 9000.0)),
        ),
        max_size=40,
    )
)
@settings(max_examples=100, deadline=None)
def test_every_event_is_a_case_or_counted(steps: list[tuple[str, str, float]]) -> None:
    """And the labels are those of the plain words: look at what follows, one by one."""
    clock = dict.fromkeys("abc", 0.0)
    events = []
    for who, kind, gap in steps:
        clock[who] += gap
        events.append((who, HistoryEvent(type=kind, item="1", time=clock[who])))
    sequences = sequences_of(events, TYPES)
    cases = action_cases(sequences, MINUTES)
    assert len(cases.positions) + cases.open_visits + cases.same_moment == len(events)
    for place, labels in zip(cases.positions.tolist(), cases.labels.tolist(), strict=True):
        later, last = set(), place
        end = sequences.at[np.searchsorted(sequences.at, place, side="right")]
        while last + 1 < end and sequences.times[last + 1] - sequences.times[last] <= 1800:
            last += 1
            later.add(list(TYPES)[sequences.types[last]])
        assert labels == ["purchase" in later, "cart" in later, not later]


@pytest.fixture(scope="module")
def both(shop_home: Path, tmp_path_factory: Any) -> Iterator[tuple[Any, ServedModel, Any]]:
    """A model with random weights, read by torch and by numpy."""
    import torch

    from reranker.training.data import index_catalogue, new_model, training_data
    from reranker.training.loop import Trained

    chosen = TrainSettings(length=LENGTH)
    index = ItemIndex(VersionStore(shop_home / "index").current())  # type: ignore[arg-type]
    rows = [
        (f"u{user}", HistoryEvent(type="view", item=str((user + step) % 40), time=100.0 * step))
        for user in range(20)
        for step in range(6)
    ]
    catalogue, sequences, whitening = index_catalogue(index, sequences_of(rows, TYPES))
    data = training_data(sequences, catalogue, sequences.at[1:], chosen)
    model = new_model(data, chosen)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value), alpha=0.1)
    trained = Trained(
        model=model, epochs=1, best_epoch=1, best_ndcg=0, seconds=0, bfloat16=False, stopped=""
    )
    workspace = Workspace(tmp_path_factory.mktemp("model"))
    about = {"fingerprint": index.fingerprint}
    version = publish_model(
        model_store(workspace),
        about,
        1,
        lambda folder: write_model(folder, trained, data, whitening, chosen),
    )
    queries = QueryVectors(load_query_encoder(index.encoder_folder), 100)
    yield load_model(workspace, index), ServedModel(version, index), queries


class Recorder:
    """In the place of a head: keeps what it is given."""

    inputs: npt.NDArray[np.float32]

    def __call__(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        self.inputs = inputs
        return np.zeros((1, len(ACTIONS)))


_EVENT = st.tuples(
    st.sampled_from(list(TYPES)),
    st.integers(0, 70),  # some are in no index
    st.sampled_from((0.0, 1.0, 59.5, 1800.0, 1801.0, 86_400.0)),
)


@given(st.lists(_EVENT, min_size=1, max_size=2 * LENGTH + 3))
@settings(max_examples=40, deadline=None)
def test_serving_reads_what_training_read(
    both: tuple[Any, ServedModel, Any], steps: list[tuple[str, int, float]]
) -> None:
    """At every event of a history, cut to the newest as serving does."""

    from reranker.training.data import encoded_queries

    by_torch, served, queries = both
    time, events = 1.7e9, []
    for kind, item, gap in steps:
        time += gap
        query, named = (f"tea {item % 5}", None) if kind == "search" else (None, str(item))
        events.append(HistoryEvent(type=kind, time=time, query=query, item=named))
    sequences = sequences_of([("u", event) for event in events], TYPES)
    searches = encoded_queries(by_torch.index, sequences)
    texts = None if searches is None else by_torch.whitening(searches)
    items = with_queries(by_torch.items, texts)
    sequences = sequences.with_rows(by_torch.index.rows(sequences.item_ids))
    positions = np.arange(len(events))
    plain = plain_inputs(sequences, positions, LENGTH, MINUTES)
    wanted = model_inputs(plain, by_torch.model, items, sequences, positions, LENGTH)
    head = Recorder()
    card = ActionCard(possible=list(ACTIONS), types=list(TYPES), session_minutes=MINUTES)
    foresee = NextAction(served, head, card)  # type: ignore[arg-type]
    width = plain.shape[1]
    for at in positions.tolist():
        foresee(events[: at + 1], queries)
        found = head.inputs[0]
        np.testing.assert_array_equal(found[-width:], plain[at])
        np.testing.assert_allclose(found, wanted[at], atol=2e-5, rtol=1e-5)


def test_too_few_visits_leave_a_model_without_a_head(
    both: tuple[Any, ServedModel, Any], tmp_path: Path
) -> None:
    by_torch, _, _ = both
    events = [("u", HistoryEvent(type="view", item="1", time=1e5 * at)) for at in range(20)]
    sequences = sequences_of(events, TYPES)
    sequences = sequences.with_rows(by_torch.index.rows(sequences.item_ids))
    model, items = by_torch.model, by_torch.items
    assert not fit_next_action(model, items, sequences, MINUTES, LENGTH, tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_an_encoder_recency_and_counts_foresee(tmp_path: Path) -> None:
    events = [
        (f"u{at // 8}", HistoryEvent(type=kind, item="1", time=1e9 + 1e5 * at + step))
        for at in range(80)
        for step, kind in enumerate(("view", "cart", "purchase")[: 1 + at % 3])
    ]
    sequences = sequences_of(events, TYPES)
    assert fit_next_action(None, None, sequences, MINUTES, LENGTH, tmp_path)
    loaded = load_head(tmp_path)
    assert loaded is not None
    assert not loaded[1].vector and loaded[1].possible == ["purchase", "cart", "leave"]


def test_a_failing_text_encoder_is_named_not_a_500(both: tuple[Any, ServedModel, Any]) -> None:
    class Broken:
        def query(self, text: str) -> None:
            raise RuntimeError(f"no encoder for {text}")

    card = ActionCard(possible=list(ACTIONS), types=list(TYPES), session_minutes=MINUTES)
    foreseen = NextAction(both[1], Recorder(), card)  # type: ignore[arg-type]
    statistics: Any = None  # not read here
    personal = Personalization(Learned(both[1], statistics, statistics, foreseen))
    state = SimpleNamespace(personal=personal, query_vectors=Broken(), versions={"model": "1"})
    app = Flask(__name__)
    served: Any = SimpleNamespace(
        state=state, ranker=DeadlineRanker(Breakers()), budget_ms=60_000.0
    )
    foreseeing = NextActions(served, RequestReader())
    app.register_blueprint(next_action_routes(foreseeing, LimitSettings()))
    history = [{"type": "search", "query": "tea", "time": 1e9}]
    answer = app.test_client().post("/next-action", json={"history": history})
    assert answer.status_code == 200
    assert answer.get_json() == {
        "actions": {},
        "versions": {"model": "1"},
        "degraded": [{"signal": "next_action", "reason": "internal_error"}],
        "model": None,
    }
