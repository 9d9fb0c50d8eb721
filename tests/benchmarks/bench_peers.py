"""bench_peers.py: 100 candidates of one search, ranked here and by what one would use instead.

    python tests/benchmarks/bench_peers.py [--home DIR]

A cross-encoder of MiniLM-L6's shape with random weights (the time is the same), by
sentence-transformers and by the `rerankers` library; and sentence-transformers' own way with
vectors: encode the query, or query and candidates, and multiply. One thread each, texts of the
demo shop, queries not seen before. None of them knows a shopper; here every signal is on. Without
--home the small demo shop is made and a model trained on it for a minute.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import torch
from bench_personal import history, made, spent, told
from rerankers import Reranker
from sentence_transformers import CrossEncoder, SentenceTransformer
from threadpoolctl import threadpool_limits
from transformers import BertConfig, BertForSequenceClassification

from indexes.encoders.model_folders import model_folder
from indexes.items.text import ItemText
from indexes.workspace import Workspace
from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, RerankRequest

CANDIDATES = 100
QUERIES = ("red", "light", "warm", "small", "gift for", "cheap", "new", "best")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    threadpool_limits(1, "blas")
    with tempfile.TemporaryDirectory() as folder:
        home = given.home or made(Path(folder))
        compare(load_state(Workspace(home)), Path(folder))


def compare(state: ServedState, folder: Path) -> None:
    rows = np.arange(CANDIDATES, dtype=np.int64)
    items = [state.index.columns.item(int(row)) for row in rows]
    texts = [ItemText().render(item) for item in items]
    asked = 0

    def query() -> str:
        nonlocal asked
        asked += 1
        return f"{QUERIES[asked % len(QUERIES)]} jacket {asked}"

    past = history(state, 50)
    personal = replace(state.personal, recent=lambda *_: list(past))  # as a store answers
    state = replace(state, personal=personal)
    ids = [Candidate(item.id, float(-place)) for place, item in enumerate(items)]
    seen = RerankRequest(ids, query="red jacket", user="ann")
    ours = told("reranker, all signals, 50 events", spent(lambda: rerank(seen, state)))
    fresh = told(
        "  a query not seen before",
        spent(lambda: rerank(RerankRequest(ids, query=query(), user="ann"), state)),
    )
    peers = folder / "cross-encoder"
    cross_encoder(peers)
    one = CrossEncoder(str(peers), device="cpu")
    against(
        "cross-encoder, sentence-transformers",
        lambda: one.predict([(query(), text) for text in texts]),
        fresh,
    )
    other = Reranker(
        str(peers), model_type="cross-encoder", device="cpu", dtype="float32", verbose=0
    )
    against("cross-encoder, rerankers", lambda: other.rank(query(), texts), fresh)
    encoder = SentenceTransformer(str(model_folder("minilm")), device="cpu")
    vectors = state.index.vectors(rows)
    against(
        "encode the query, multiply",
        lambda: np.argsort(-(vectors @ encoder.encode(query(), show_progress_bar=False))),
        fresh,
    )
    against(
        "encode query and candidates, multiply",
        lambda: encoder.encode([query(), *texts], show_progress_bar=False),
        fresh,
    )
    print(f"ratio unseen : seen query {fresh / ours:.2f}")


def against(name: str, work: Callable[[], object], ours: float) -> None:
    began = time.perf_counter()
    work()
    times = max(3, min(50, int(5 / (time.perf_counter() - began))))
    middle = told(name, spent(work, times, warm=1))
    print(f"  ratio to reranker's unseen query {middle / ours:.1f}")


def cross_encoder(folder: Path) -> None:
    """MiniLM-L6's shape with a score on top; random weights."""
    from transformers import AutoTokenizer

    config = BertConfig(
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_folder("minilm")).save_pretrained(folder)


if __name__ == "__main__":
    main()
