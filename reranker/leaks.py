"""leaks.py: judged requests -> those that may be evaluated: the model has not seen what came next.

Point in time (invariant 7): a model that learned from what a shopper did at or after a request
knows its answer, and a measurement with it says nothing.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Final

from indexes.errors import Failure
from reranker.blends import Blend
from reranker.judged_requests import rerank_request
from reranker.requests import JudgedRequest
from reranker.scenes import now_of
from reranker.signals import SIGNALS
from reranker.state import ServedState
from reranker.trained_shoppers import TrainedShoppers

_LEARNED: Final = frozenset(name for name, one in SIGNALS.items() if one.learned)


class Leak(Failure):
    """Every request is one whose shopper's future the model knows."""

    code = "leak"


class Leaks:
    """Counts the requests that are refused."""

    def __init__(self, state: ServedState, blends: Iterable[Blend], allowed: bool) -> None:
        self.count = 0
        self._seen: TrainedShoppers | None = None
        model = state.model
        uses = any(_LEARNED & set(blend.signals) for blend in blends)
        if model is not None and uses and not allowed:
            self._seen = TrainedShoppers(model.folder, state.keys)

    def without(self, requests: Iterable[JudgedRequest]) -> Iterator[JudgedRequest]:
        """The requests that are no leak."""
        for judged in requests:
            if self._seen is not None and self._is_leak(judged, self._seen):
                self.count += 1
            else:
                yield judged

    def _is_leak(self, judged: JudgedRequest, seen: TrainedShoppers) -> bool:
        history = rerank_request(judged).history
        now = now_of(judged.time, history, time.time)
        if judged.time is None and history:
            now += 1e-6  # its own newest event came before it
        return seen.knows_after(judged.user, judged.session, now)

    def check(self, evaluated: int) -> None:
        """Leak when nothing is left."""
        if self.count and not evaluated:
            raise Leak(
                f"All {self.count:,} requests are of shoppers whose events at or after the "
                "request's time the model was trained on, so that it knows the answers.",
                hint="Train on events before the requests, or say --allow-leak.",
            )
