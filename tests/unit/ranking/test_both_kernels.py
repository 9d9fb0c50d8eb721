"""test_both_kernels.py: a ranking by the compiled loops and one by numpy's are the same one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shop import TRAINED_AT

from indexes.kernels import kernels, numpy_kernels
from indexes.workspace import Workspace
from reranker.blends.blend import PERSONAL, SignalWeight
from reranker.ranking.ranking import Ranked, rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, RerankRequest

CLOSE = 1e-6
EVERY = msgspec.structs.replace(
    PERSONAL,
    signals={
        name: part if part.weight else SignalWeight(0.5, part.normalise)
        for name, part in PERSONAL.signals.items()
    },
)
ids = st.sampled_from([*(str(number) for number in range(60)), "not in the index", "x" * 512])
candidates = st.lists(ids, max_size=60, unique=True)
histories = st.lists(
    st.tuples(ids, st.sampled_from(["view", "cart", "purchase", "search"])), max_size=12
)
queries = st.sampled_from(["", "rain jacket", "mini tea kettle by pico", "17", "zzz"])


@contextmanager
def by_numpy() -> Iterator[None]:
    """Rank by numpy's loops meanwhile."""
    compiled = {name: getattr(kernels, name) for name in kernels.__all__}
    try:
        for name in compiled:
            setattr(kernels, name, getattr(numpy_kernels, name))
        yield
    finally:
        for name, function in compiled.items():
            setattr(kernels, name, function)


@pytest.fixture(scope="module")
def states(trained_home: Path) -> tuple[ServedState, ServedState]:
    """The same home opened twice, so that neither reads what the other has kept."""
    if not kernels.COMPILED:
        pytest.skip("numpy's are all that there is here")
    one, other = (load_state(Workspace(trained_home)) for _ in range(2))
    return replace(one, published=EVERY), replace(other, published=EVERY)


def ranked(state: ServedState, request: RerankRequest) -> list[Ranked]:
    return rerank(request, state).results


@given(candidates, histories, queries, st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_same_scores_and_the_same_order(
    states: tuple[ServedState, ServedState],
    shown: list[str],
    met: list[tuple[str, str]],
    query: str,
    scored: bool,
) -> None:
    request = RerankRequest(
        [
            Candidate(item, score=float(len(shown) - place) if scored else None)
            for place, item in enumerate(shown)
        ],
        query=query,
        history=[
            Event(type=kind, item=item, time=TRAINED_AT - 60.0 * (len(met) - place))
            for place, (item, kind) in enumerate(met)
        ],
        time=TRAINED_AT,
        explain=True,
    )
    compiled = ranked(states[0], request)
    with by_numpy():
        numpy = ranked(states[1], request)
    scores = {item.id: item.score for item in numpy}
    for item in compiled:
        assert item.score == pytest.approx(scores[item.id], abs=CLOSE)
    for one, other in zip(compiled, numpy, strict=True):
        assert one.id == other.id or abs(scores[one.id] - scores[other.id]) <= 2 * CLOSE
    if compiled:
        first = {item.id: item.explanation for item in compiled}
        for item in numpy:
            ours, theirs = first[item.id], item.explanation
            assert ours and theirs
            assert ours.contributions == pytest.approx(theirs.contributions, abs=CLOSE)
