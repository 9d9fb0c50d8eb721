"""Whatever fails or is missing: the candidates sent, in an order that can be told and repeated."""

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from support.breakable import raises

from indexes.workspace import Workspace
from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, RerankRequest
from reranker.runtime.caches import QueryVectors

KNOWN = [str(number) for number in range(60)]
HEAVY = pytest.mark.heavy
Said = Callable[[str, object], None]


@pytest.fixture(scope="module")
def state(trained_home: Path) -> ServedState:
    return load_state(Workspace(trained_home))


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
            personal = replace(personal, recent=raises, at_hand=None)
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
