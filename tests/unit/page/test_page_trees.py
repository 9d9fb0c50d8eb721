"""A blend of trees in Search: what its trees read of the whole request has a row, too."""

from pathlib import Path

import numpy as np
import pytest

from indexes.workspace import Workspace
from reranker.blends.blend import Blend, SignalWeight
from reranker.blends.store import BlendStore
from reranker.ranking.state import load_state
from reranker.requests import Candidate, RerankRequest
from reranker.tuning.matrices import Rows
from reranker.tuning.trees import grown, trees_of
from service.page.parts.matrix import matrix


def test_the_rows_of_trees_stand_in_the_order_of_signals(own_home: Path) -> None:
    pytest.importorskip("lightgbm")
    inputs = ["semantic.value", "engine.scaled", "context.query_words"]
    values = np.random.default_rng(0).random((400, len(inputs)))
    rows = Rows(inputs, values, np.round(values.sum(axis=1)), np.arange(0, 401, 20))
    signals = {name: SignalWeight(1.0) for name in ("semantic", "engine")}
    trees = trees_of(grown(rows, 5, alone=False, threads=1), rows)
    store = BlendStore(own_home / "blends")
    store.published_or_default()
    store.save(Blend(name="forest", kind="trees", signals=signals, trees=trees))
    request = RerankRequest([Candidate("1", 2.0), Candidate("2", 1.0)], "shoes", blend="forest")
    sent = matrix(request, load_state(Workspace(own_home)))
    shown = [sent["signals"][place]["name"] for place in sent["shown"]]
    assert shown == ["engine", "semantic", "context"]
