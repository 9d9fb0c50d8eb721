"""What settings do whose own section has no test that shows it; test_settings.py has the list."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.shop import small_shop, write_items

from indexes.build.rebuild import rebuild
from indexes.build.settings import RebuildSettings
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import TextEncoder, load_encoder
from indexes.errors import Failure
from indexes.progress import silent
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.ranking.ranking import rerank
from reranker.ranking.settings import RankingSettings
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, RerankRequest

TEXTS = [f"{colour} shoe number {number}" for number in range(3) for colour in ("red", "dark blue")]


def encoder(**chosen: Any) -> TextEncoder:
    return load_encoder(EncoderSettings(**chosen))


@pytest.fixture(scope="module")
def plain() -> TextEncoder:
    return encoder(dtype="float32")


def test_encoder_model(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=str(tmp_path / "none")):
        encoder(model=str(tmp_path / "none"))


def test_encoder_prompts(plain: TextEncoder) -> None:
    prompted = encoder(dtype="float32", query_prompt="query: ", document_prompt="passage: ")
    for one, other in (
        (prompted.encode_queries(TEXTS), [f"query: {text}" for text in TEXTS]),
        (prompted.encode_documents(TEXTS), [f"passage: {text}" for text in TEXTS]),
    ):
        np.testing.assert_allclose(one, plain.encode_documents(other), atol=1e-5)
        assert np.abs(one - plain.encode_documents(TEXTS)).max() > 0.01
    assert prompted.fingerprint != plain.fingerprint


def test_encoder_dtype(plain: TextEncoder) -> None:
    short = encoder(dtype="bfloat16")
    error = np.abs(short.encode_documents(TEXTS) - plain.encode_documents(TEXTS)).max()
    assert 0 < error < 0.02  # bfloat16 keeps 8 bits: close, and not the same


def test_encoder_batch_tokens(plain: TextEncoder) -> None:
    def batches(one: TextEncoder) -> int:
        return len(list(one.encode_batches(TEXTS)))

    assert batches(encoder(dtype="float32", batch_tokens=1)) > batches(plain)


@pytest.mark.parametrize("threads", [1, 2])
def test_encoder_threads(threads: int) -> None:
    most = 0
    for _, _ in encoder(threads=threads, batch_tokens=1).encode_batches(TEXTS):
        pools = [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]
        most = max(most, len(pools))
    # One reads ahead; encoding takes none of its own when it is the only one.
    assert most == 1 + (threads if threads > 1 else 0)


def test_rebuild_keep(own_home: Path, tmp_path: Path) -> None:
    items = write_items(tmp_path / "fewer.jsonl", small_shop()[:-1])
    kept = Workspace(own_home, {RebuildSettings: RebuildSettings(keep=1)})
    new = rebuild(kept, items, progress=silent).version
    assert [version.id for version in VersionStore(own_home / "index").versions()] == [new]


def ranking_settings(home: Path, **chosen: int) -> ServedState:
    return load_state(Workspace(home, {RankingSettings: RankingSettings(**chosen)}))


def test_ranking_query_cache(shop_home: Path) -> None:
    for size, misses in ((1, 4), (2, 2)):
        vectors = ranking_settings(shop_home, query_cache=size).query_vectors
        for query in ("red", "blue", "red", "blue"):
            vectors.query(query)
        assert vectors.misses == misses


def test_ranking_user_cache(shop_home: Path) -> None:
    for size in (1, 2):
        state = ranking_settings(shop_home, user_cache=size)
        for user in ("ann", "bob", "ann"):
            events = [HistoryEvent(type="view", item="1", time=5.0)]
            state.personal.profiles.of(user, events, state.index, None)
        assert state.personal.profiles.counts.misses == 4 - size


def test_ranking_text_limit(shop_home: Path) -> None:
    sent = [Candidate(f"unknown {number}", text=f"red shoe {number}") for number in range(3)]
    request = RerankRequest([*sent, Candidate("1")], query="red shoes")
    for limit, unknown in ((0, 3), (2, 1)):
        ranking = rerank(request, ranking_settings(shop_home, text_limit=limit))
        counts = {part.signal: part.count for part in ranking.degraded}
        assert counts["semantic"] == unknown


def test_ranking_encoder_threads(shop_home: Path) -> None:
    encoders: list[Any] = [
        ranking_settings(shop_home, encoder_threads=threads).query_vectors._encoder
        for threads in (1, 2)
    ]
    used = [one._session.get_session_options().intra_op_num_threads for one in encoders]
    assert used == [1, 2]
