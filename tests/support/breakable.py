"""breakable.py: a trained home -> the real application and its signals, to be broken by a test."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from flask import Flask
from support.shop import small_shop

from indexes.workspace import Workspace
from reranker.ranking.settings import RankingSettings
from reranker.signals.columns import Column, Missing
from reranker.signals.context import RankingContext
from reranker.signals.registry import SIGNALS, Signal
from service.app import create_app, served

IDS = [item["id"] for item in small_shop()]
SENT = [{"id": one, "score": 100.0 - place} for place, one in enumerate(["7", "3", *IDS[20:32]])]


class Shop:
    """The real application on the trained shop, whose parts a test may break."""

    def __init__(self, home: Path, **chosen: Any) -> None:
        patient = {"budget_ms": 60_000.0, "breaker_failures": 3, "breaker_seconds": 60.0}
        chosen_settings = RankingSettings(**(patient | chosen))
        self.app: Flask = create_app(Workspace(home, {RankingSettings: chosen_settings}))
        self.client = self.app.test_client()
        self.served = served(self.app)
        self.ask()

    @property
    def recent(self) -> Any:
        """What the stored histories are asked by."""
        return self.served.state.personal.recent

    @recent.setter
    def recent(self, asked: Any) -> None:
        state = self.served.state
        self.served.state = replace(
            state, personal=replace(state.personal, recent=asked, at_hand=None)
        )

    @property
    def encoder(self) -> Any:
        """The guard of the encoder; `_encoder` is what it guards."""
        return self.served.state.query_vectors._encoder

    def ask(self, headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
        body = {"query": "rain jacket", "user": "u3", "candidates": SENT, **more}
        answer = self.client.post("/rerank", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.get_json()
        sent = [candidate["id"] for candidate in body["candidates"]]
        assert sorted(result["id"] for result in found["results"]) == sorted(sent)
        return found

    def why(self, answer: dict[str, Any]) -> dict[str, str]:
        return {part["signal"]: part["reason"] for part in answer["degraded"]}


def raises(*_anything: Any) -> Any:
    raise OSError("the disk is gone")


def _all(value: float) -> Callable[[RankingContext], Column]:
    return lambda context: Column(np.full(len(context.ids), value), np.full(len(context.ids), True))


FAULTS: Mapping[str, Callable[[RankingContext], Any]] = {
    "raises": raises,
    "stops": lambda _context: (_ for _ in ()).throw(MemoryError()),
    "wrong type": lambda _context: 7,
    "nothing": lambda _context: None,
    "too short": lambda _context: Column(np.zeros(1), np.ones(1, bool)),
    "not a number": _all(math.nan),
    "infinite": _all(math.inf),
    "missing": lambda _context: Missing("a_reason"),
}


@contextmanager
def broken_signals(faults: Mapping[str, str]) -> Iterator[None]:
    """faults: signal -> what is wrong with it, of FAULTS."""
    signals = {
        name: Signal(name, FAULTS[fault], "", SIGNALS[name].personal, SIGNALS[name].learned)
        for name, fault in faults.items()
    }
    with patch.dict(SIGNALS, signals):
        yield
