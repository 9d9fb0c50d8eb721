"""What `reranker train` serves: the encoder only where the blend with it is proved better."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.shop import TRAINED_AT, small_shop

from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT, PERSONAL, WITHOUT_ENCODER, SignalWeight
from reranker.blends.store import BlendStore, publish_default, served_default
from reranker.model_selection.default_model import WITH, WITHOUT, choose, with_strangers
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, JudgedRequest

IDS = [item["id"] for item in small_shop()]


def asked(number: int) -> JudgedRequest:
    """A search whose answer is the category of the shopper's history."""
    rng = np.random.default_rng(number)
    history = [Event(type="view", item=IDS[number % 60], time=TRAINED_AT - 60.0)]
    mixed = rng.permutation(60)[:20].tolist()
    wanted = [item for item in mixed if item // 5 == (number % 60) // 5] or mixed[:1]
    return JudgedRequest(
        candidates=[Candidate(IDS[place], 20.0 - at) for at, place in enumerate(mixed)],
        id=f"{number}",
        query="something",
        time=TRAINED_AT,
        user=f"u{number}",
        history=history,
        ratings={IDS[place]: 1.0 for place in wanted},
        timing="known",
    )


REQUESTS: Sequence[JudgedRequest] = [asked(number) for number in range(80)]


@pytest.fixture(scope="module")
def state(trained_home: Path) -> ServedState:
    return load_state(Workspace(trained_home))


def test_an_encoder_that_adds_nothing_is_not_served(state: ServedState) -> None:
    chosen = choose(REQUESTS, 90, state, PERSONAL, encoder=True)
    assert chosen.proof is not None and chosen.proof.difference is not None
    proved = chosen.proof.difference.low is not None and chosen.proof.difference.low > 0
    assert chosen.encoder == proved == ("behaviour" in chosen.blend.signals)
    assert {WITH, WITHOUT, "served", "unpersonalised"} == chosen.proof.ndcg.keys()
    assert chosen.proof.requests == 80 and chosen.proof.moments == 90
    assert chosen.proof.ndcg[WITHOUT] > chosen.proof.ndcg["unpersonalised"]


def test_without_an_encoder_only_counts_are_weighed(state: ServedState) -> None:
    chosen = choose(REQUESTS, 90, state, None, encoder=False)
    assert not chosen.encoder and chosen.blend.signals.keys() == WITHOUT_ENCODER.signals.keys()
    assert chosen.proof is not None and chosen.proof.difference is None and not chosen.harms


def test_too_few_searches_fit_nothing(state: ServedState) -> None:
    chosen = choose(REQUESTS[:10], 10, state, None, encoder=True)
    assert (chosen.encoder, chosen.blend, chosen.proof) == (False, WITHOUT_ENCODER, None)
    forced = choose(REQUESTS[:10], 10, state, None, encoder=True, needs_proof=False)
    assert (forced.encoder, forced.blend) == (True, PERSONAL)


def test_strangers_have_somebody_elses_history() -> None:
    for own, other in zip(REQUESTS, with_strangers(REQUESTS), strict=True):
        assert own.candidates == other.candidates and own.history != other.history


def test_strangers_are_not_those_who_stand_side_by_side() -> None:
    """Who came one after the other often came for the same."""
    ordered = [
        msgspec.structs.replace(request, history=[Event(type="view", item=str(place))], time=place)
        for place, request in enumerate(REQUESTS)
    ]
    apart = []
    for place, other in enumerate(with_strangers(ordered)):
        assert other.history and other.time == float(other.history[0].item or 0)
        apart.append(abs(place - other.time))
    assert min(apart) > 0 and np.median(apart) > len(ordered) / 8


def test_the_built_in_blend_of_an_earlier_release_gives_way(tmp_path: Path) -> None:
    store = BlendStore(tmp_path)
    earlier = DEFAULT.signals | {"semantic": SignalWeight(1.5), "typical": SignalWeight(0.5)}
    for name in ("coverage", "looks", "depicts"):
        del earlier[name]
    store.save(msgspec.structs.replace(DEFAULT, signals=earlier), publish=True)
    assert "default v2 published" in publish_default(store, PERSONAL, harms=False)


def test_somebodys_choice_stays_published(tmp_path: Path) -> None:
    store = BlendStore(tmp_path)
    assert served_default(store) is None  # the built-in one weighs nothing learned
    assert "default v2 published" in publish_default(store, PERSONAL, harms=False)
    assert served_default(store) is not None
    assert "stays published" in publish_default(store, WITHOUT_ENCODER, harms=True)
    assert "default v4 published" in publish_default(store, WITHOUT_ENCODER, harms=False)
    own = msgspec.structs.replace(
        DEFAULT, author="us", signals=DEFAULT.signals | {"semantic": SignalWeight(3.0)}
    )
    store.save(own, publish=True)
    assert "somebody's choice" in publish_default(store, PERSONAL, harms=False)
    assert store.published_or_default()[0].author == "us"
