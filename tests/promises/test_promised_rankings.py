"""Whatever fails or is missing: the candidates sent, in an order that can be told and repeated."""

import hashlib
import itertools
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.shop import TRAINED_AT

from indexes.names import normalised
from indexes.workspace import Workspace
from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, Event, RerankRequest
from reranker.runtime.caches import QueryVectors
from reranker.signals.columns import Column, Missing
from reranker.signals.context import RankingContext
from reranker.signals.registry import SIGNALS, Signal

KNOWN = [str(number) for number in range(60)]
PERSONAL = [name for name, signal in SIGNALS.items() if signal.personal]
HEAVY = pytest.mark.heavy
Said = Callable[[str, object], None]


@pytest.fixture(scope="module")
def state(trained_home: Path) -> ServedState:
    return load_state(Workspace(trained_home))


def raises(*_anything: Any) -> Any:
    raise OSError("the disk is gone")


def not_a_number(context: RankingContext) -> Column:
    count = len(context.ids)
    return Column(np.full(count, math.nan), np.full(count, True))


def endless(context: RankingContext) -> Column:
    count = len(context.ids)
    return Column(np.full(count, math.inf), np.full(count, True))


def says_nothing(_context: RankingContext) -> Missing:
    return Missing("no_field")


FAULTS = {"raises": raises, "nan": not_a_number, "inf": endless, "missing": says_nothing}
ids = st.one_of(
    st.sampled_from(KNOWN), st.text(st.characters(codec="utf-8"), min_size=1, max_size=9)
)
id_lists = st.one_of(
    st.lists(ids, max_size=30, unique=True),
    st.sampled_from([0, 1, 1000]).map(lambda n: [*KNOWN, *(f"n{i}" for i in range(n))][:n]),
)
histories = st.lists(
    st.builds(
        lambda item, days, kind: Event(type=kind, item=item, time=TRAINED_AT - days * 86_400),
        ids,
        st.floats(0.01, 90),
        st.sampled_from(["view", "cart", "purchase", "cancel"]),
    ),
    max_size=12,
)
faults = st.dictionaries(st.sampled_from(sorted(SIGNALS)), st.sampled_from(sorted(FAULTS)))
queries = st.sampled_from(["", "rain jacket", "kettle 17", "\u2615"])


@pytest.mark.promise(1)
@pytest.mark.parametrize("examples", [100, pytest.param(50_000, marks=HEAVY)])
def test_any_candidates_come_back_once_each_whatever_fails(
    state: ServedState, examples: int, record_property: Said
) -> None:
    runs = 0

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(id_lists, histories, faults, queries, st.booleans(), st.booleans(), st.booleans())
    def check(
        sent: list[str],
        history: list[Event],
        broken: dict[str, str],
        query: str,
        encoder: bool,
        store: bool,
        explain: bool,
    ) -> None:
        nonlocal runs
        runs += 1
        signals = {
            name: Signal(name, FAULTS[how], "", SIGNALS[name].personal, SIGNALS[name].learned)
            for name, how in broken.items()
        }
        trial = replace(state, personal=replace(state.personal, recent=raises)) if store else state
        asked = RerankRequest(
            [Candidate(one) for one in sent],
            query=query,
            user="u1",
            history=None if store else history,
            explain=explain,
            time=TRAINED_AT,
        )
        with ExitStack() as stack:
            stack.enter_context(patch.dict(SIGNALS, signals))
            if encoder:
                stack.enter_context(patch.object(QueryVectors, "encoded", raises))
            ranking = rerank(asked, trial)
        assert sorted(one.id for one in ranking.results) == sorted(sent)
        assert sorted(one.index for one in ranking.results) == list(range(len(sent)))
        assert all(math.isfinite(one.score) for one in ranking.results)
        keys = [(-one.score, one.index) for one in ranking.results]
        assert keys == sorted(keys)

    check()
    record_property("runs", runs)


@pytest.mark.promise(1)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=st.lists(ids, max_size=12))
def test_an_id_that_comes_twice_is_refused_and_nothing_else_is(
    client: FlaskClient, sent: list[str]
) -> None:
    body = {"candidates": [{"id": one} for one in sent], "query": "red shoes"}
    answer = client.post("/rerank", data=msgspec.json.encode(body))
    forms = [normalised(one) for one in sent]
    if len(set(forms)) < len(sent) or not all(forms):
        assert answer.status_code == 422
        assert answer.get_json()["error"]["field"].startswith("candidates[")
    else:
        assert sorted(one["id"] for one in answer.get_json()["results"]) == sorted(sent)


RANKED = """
import hashlib, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import msgspec
from threadpoolctl import threadpool_limits
from indexes.workspace import Workspace
from reranker.ranking.ranking import rerank
from reranker.requests import Candidate, Event, RerankRequest
from reranker.ranking.state import RankingSettings, load_state
home, requests, threads = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
settings = {RankingSettings: RankingSettings(encoder_threads=threads)}
state = load_state(Workspace(home, settings))
threadpool_limits(1, "blas")  # as in every worker of `reranker serve`
def answer(n):
    ids = [str((n * 7 + k) % 60) for k in range(40)] + [f"new {n}"]
    history = [Event(type="view", item=str((n + k) % 60), time=8e7 + k) for k in range(n % 9)]
    asked = RerankRequest(
        [Candidate(one, text="a red tea kettle" if one[0] == "n" else None) for one in ids],
        query=f"red shoe {n % 50}", history=history, explain=n % 2 == 0, time=8.64e7)
    return msgspec.json.encode(rerank(asked, state).results)
with ThreadPoolExecutor(threads) as pool:
    found = hashlib.sha256(b"".join(pool.map(answer, range(requests))))
print(found.hexdigest())
"""


@pytest.mark.promise(2)
@pytest.mark.parametrize("requests", [60, pytest.param(500, marks=HEAVY)])
def test_processes_and_threads_answer_with_the_same_bytes(
    trained_home: Path, requests: int, record_property: Said
) -> None:
    """Also with another hash seed: no order comes from a set."""
    found = set()
    for threads in (1, 4):
        env = {**os.environ, "PYTHONHASHSEED": str(threads), "OMP_NUM_THREADS": str(threads)}
        args = [sys.executable, "-c", RANKED, str(trained_home), str(requests), str(threads)]
        found.add(subprocess.run(args, env=env, check=True, capture_output=True).stdout)
    assert len(found) == 1 and len(found.pop().strip()) == hashlib.sha256().digest_size * 2
    record_property("runs", requests)


@pytest.mark.promise(3)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=id_lists, history=histories, query=queries)
def test_personal_weights_of_zero_are_the_unpersonalised_ranking_bit_for_bit(
    state: ServedState, sent: list[str], history: list[Event], query: str
) -> None:
    asked = RerankRequest(
        [Candidate(one) for one in sent], query=query, history=history, time=TRAINED_AT
    )
    silent = msgspec.structs.replace(asked, weights=dict.fromkeys(PERSONAL, 0.0))
    plain = msgspec.structs.replace(asked, personalize=False)
    assert rerank(silent, state).results == rerank(plain, state).results


PARTS = ("model", "histories", "encoder", "items", "query", "user")


def subsets() -> Iterator[tuple[str, ...]]:
    for size in range(len(PARTS) + 1):
        yield from itertools.combinations(PARTS, size)


@pytest.mark.promise(5)
def test_every_set_of_missing_parts_is_answered_and_named(
    state: ServedState, record_property: Said
) -> None:
    tried = 0
    for missing in subsets():
        personal = state.personal
        if "model" in missing:
            personal = replace(personal, learned=None)
        if "histories" in missing:
            personal = replace(personal, recent=raises)
        sent = [f"gone {n}" for n in range(9)] if "items" in missing else KNOWN[:9]
        asked = RerankRequest(
            [Candidate(one) for one in sent],
            query="" if "query" in missing else f"rain jacket {tried}",
            user=None if "user" in missing else "u1",
        )
        with ExitStack() as stack:
            if "encoder" in missing:
                stack.enter_context(patch.object(QueryVectors, "encoded", raises))
            ranking = rerank(asked, replace(state, personal=personal))
        reasons = {(one.signal, one.reason) for one in ranking.degraded}
        named = {signal for signal, _ in reasons}
        assert sorted(one.id for one in ranking.results) == sorted(sent), missing
        if "model" in missing:
            assert ("popular", "no_model") in reasons, missing
        if "user" in missing:
            assert ("taste", "no_history") in reasons, missing
        elif "histories" in missing:
            assert ("taste", "history_unavailable") in reasons, missing
        if {"encoder", "query", "items"} & set(missing):
            assert "semantic" in named, missing
        if {"encoder", "items"} <= set(missing) and {"user", "histories"} & set(missing):
            assert [one.index for one in ranking.results] == list(range(9)), missing
        tried += 1
    record_property("runs", tried)
