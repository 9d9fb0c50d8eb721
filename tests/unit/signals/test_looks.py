"""`looks` and `depicts`: what no text made tells items apart, and who lacks it does not suffer."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.look_shop import DOTTED, SHIRTS, STRIPED, look_vectors, with_vectors
from support.shop import copy_home

from indexes.modalities.vectors import ModalityVectors
from indexes.storage.arrays import Vectors
from indexes.workspace import Workspace
from reranker.ranking.ranking import Ranking, rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, RerankRequest
from reranker.runtime.caches import QueryVectors
from reranker.signals.columns import Column, Missing
from reranker.signals.context import RankingContext
from reranker.signals.registry import compute

BLANK = "s11"  # a shirt without a vector
HISTORY = [Event(type="purchase", item=item, time=1.7e9) for item in ("s0", "s2")]


@pytest.fixture(scope="module")
def state(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> ServedState:
    home = copy_home(shop_home, tmp_path_factory.mktemp("looks") / "home")
    vectors = look_vectors()
    del vectors[BLANK]
    sound = {item: vectors[item][:5] for item in [*DOTTED[:2], "7", "9", "11"]}
    with_vectors(home, image=vectors, sound=sound)
    return load_state(Workspace(home))


@pytest.fixture(scope="module")
def plain(shop_home: Path) -> ServedState:
    return load_state(Workspace(shop_home))


def request(history: list[Event] | None = None, **more: Any) -> RerankRequest:
    candidates = [Candidate(item, score=1.0) for item in SHIRTS[3:]]
    asked: dict[str, Any] = {
        "query": "shirt for summer",
        "candidates": candidates,
        "time": 1.7e9 + 60,
    } | more
    return RerankRequest(history=HISTORY if history is None else history, **asked)


def column(state: ServedState, name: str, asked: RerankRequest) -> Column | Missing:
    context = RankingContext(
        asked, state.index, state.query_vectors, 0, personal=state.personal, towers=state.towers
    )
    return compute(context, [name])[name]


def order(ranking: Ranking) -> list[str]:
    return [result.id for result in ranking.results]


def met(*items: str) -> list[Event]:
    return [Event(type="view", item=item, time=1.7e9 + at) for at, item in enumerate(items)]


def test_a_look_alone_changes_the_ranking_of_who_buys_it(state: ServedState) -> None:
    striped = [item for item in SHIRTS[3:] if item in STRIPED]
    dotted = [item for item in SHIRTS[3:] if item in DOTTED]
    first = order(rerank(request(), state))
    assert set(first[: len(striped)]) == set(striped)
    other = order(rerank(request(met("s1")), state))
    assert set(other[: len(dotted) - 1]) == set(dotted) - {BLANK}
    assert order(rerank(request(personalize=False), state)) == SHIRTS[3:]


def test_parts_tell_what_the_nearness_was_made_of(state: ServedState) -> None:
    ranking = rerank(request(met("s1", "7"), explain=True), state)
    signals = {one.id: one.explanation.signals["looks"] for one in ranking.results}  # type: ignore[union-attr]
    assert set(signals["s3"].parts or {}) == {"mean", "last", "image", "sound"}
    assert signals[BLANK].known is False and signals["s5"].known in (None, True)


def test_nearness_by_hand(state: ServedState) -> None:
    image, sound = state.index.modalities["image"], state.index.modalities["sound"]
    rows = state.index.rows(["s3", "s4"])
    found = column(
        state, "looks", request(met("s1"), candidates=[Candidate("s3"), Candidate("s4")])
    )
    assert isinstance(found, Column)

    def cosine(modality: ModalityVectors, one: str, other: str) -> float:
        vectors, _ = modality.rows(state.index.rows([one, other]))
        white = modality.whitening(vectors)
        return float(white[0] @ white[1])

    both = (cosine(image, "s3", "s1") + cosine(sound, "s3", "s1")) / 2
    np.testing.assert_allclose(found.values, [both, cosine(image, "s4", "s1")], atol=1e-4)
    assert not sound.known(rows)[1]


@given(st.sets(st.sampled_from(SHIRTS[3:]), min_size=1, max_size=8), st.sampled_from(SHIRTS[:3]))
def test_who_lacks_a_vector_does_not_suffer(
    state: ServedState, lacking: set[str], bought: str
) -> None:
    """It gets the mean of those that have one, and those that lack it keep their order."""
    without = _without(state, lacking)
    ranking = rerank(request(met(bought), explain=True), without)
    contributions = {
        one.id: one.explanation.contributions.get("looks", 0.0)  # type: ignore[union-attr]
        for one in ranking.results
    }
    lacking = lacking | {BLANK}
    known = [amount for item, amount in contributions.items() if item not in lacking]
    mean = np.mean(known) if known else 0.0
    for item in lacking & set(contributions):
        assert contributions[item] == pytest.approx(mean, abs=1e-9)
    ours = [item for item in order(ranking) if item in lacking]
    assert ours == [item for item in SHIRTS if item in lacking]


class _Lacking:
    """The vectors of a modality, but for some rows."""

    def __init__(self, vectors: ModalityVectors, rows: set[int]) -> None:
        self._vectors, self._rows = vectors, np.array(sorted(rows))

    def known(self, rows: Any) -> Any:
        return self._vectors.known(rows) & ~np.isin(rows, self._rows)

    def rows(self, rows: Any) -> Any:
        return self._vectors.rows(rows)[0], self.known(rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vectors, name)


def _without(state: ServedState, lacking: set[str]) -> ServedState:
    rows = set(state.index.rows(sorted(lacking)).tolist())
    index = _copy(state.index)
    index.modalities = {"image": _Lacking(state.index.modalities["image"], rows)}
    return dataclasses.replace(state, index=index)


def _copy(index: Any) -> Any:
    copied = object.__new__(type(index))
    copied.__dict__.update(index.__dict__)
    return copied


def test_an_item_that_came_after_the_rebuild_is_not_known(state: ServedState) -> None:
    found = column(state, "looks", request(candidates=[Candidate("s4"), Candidate("came later")]))
    assert isinstance(found, Column)
    assert found.known.tolist() == [True, False]


@pytest.mark.parametrize(
    ("history", "reason"), [(met("elsewhere"), "unknown_history"), (met(BLANK), "history_without")]
)
def test_why_it_says_nothing(state: ServedState, history: list[Event], reason: str) -> None:
    found = column(state, "looks", request(history))
    assert isinstance(found, Missing) and found.reason.startswith(reason)


def test_an_index_without_vectors_is_not_asked(plain: ServedState) -> None:
    asked = request([], candidates=[Candidate("1"), Candidate("2")])
    for name in ("looks", "depicts"):
        found = column(plain, name, asked)
        assert isinstance(found, Missing) and not found.degraded
    ranking = rerank(asked, plain)
    assert not {"looks", "depicts"} & {one.signal for one in ranking.degraded}


class Tower:
    """Reads "striped" and "dotted" into the space of the pictures."""

    def __init__(self, words: Mapping[str, Vectors]) -> None:
        self._words = words

    def encode_queries(self, texts: list[str], /) -> Vectors:
        return np.stack([self._words[text] for text in texts]).astype(np.float32)

    encode_documents = encode_queries

    def known_share(self, text: str, /) -> float:
        return 0.0 if text == "xyzzy" else 1.0


@pytest.fixture(scope="module")
def towered(state: ServedState) -> ServedState:
    image = state.index.modalities["image"]
    striped, dotted = image.rows(state.index.rows(["s0", "s1"]))[0]
    words = {"striped shirt": striped, "dotted shirt": dotted, "xyzzy": dotted}
    return dataclasses.replace(state, towers={"image": QueryVectors(Tower(words), 10)})


def test_a_query_finds_what_only_the_picture_shows(towered: ServedState) -> None:
    for query, wanted in (("striped shirt", STRIPED), ("dotted shirt", DOTTED)):
        asked = request([], query=query, explain=True)
        wanted = [item for item in SHIRTS[3:] if item in wanted and item != BLANK]
        assert set(order(rerank(asked, towered))[: len(wanted)]) == set(wanted), query
        found = column(towered, "depicts", asked)
        assert isinstance(found, Column)
        assert found.known.tolist() == [item != BLANK for item in SHIRTS[3:]]
        assert set(found.parts) == {"image"}


def test_why_depicts_says_nothing(towered: ServedState, state: ServedState) -> None:
    reasons = {
        "no_text_tower": column(state, "depicts", request()),
        "no_query": column(towered, "depicts", request(query=" ")),
        "unknown_query": column(towered, "depicts", request(query="xyzzy")),
        "candidates_without_vectors": column(
            towered, "depicts", request(query="dotted shirt", candidates=[Candidate(BLANK)])
        ),
    }
    for reason, found in reasons.items():
        assert isinstance(found, Missing) and found.reason == reason
