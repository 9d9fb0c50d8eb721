"""wrong_history.py: requests -> the same with another shopper's history, and with none at all.

What personalisation gains with the right history is only half of it: with a wrong one it should
cost little.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from reranker.evaluation.requests import rerank_request
from reranker.evaluation.results import Ranker
from reranker.ranking.ranking import Ranking
from reranker.requests import JudgedRequest, RerankRequest


@dataclass
class Watched:
    """A ranker of changed requests that remembers how far the gate was open."""

    ranker: Ranker
    changed: Callable[[RerankRequest], RerankRequest] = lambda request: request
    gates: list[float] = field(default_factory=list)

    def __call__(self, request: RerankRequest) -> Ranking:
        ranking = self.ranker(self.changed(request))
        self.gates.append(ranking.gate or 0.0)
        return ranking

    @property
    def mean(self) -> float:
        """Of all requests so far; 0 where nothing personal was known."""
        return sum(self.gates) / max(len(self.gates), 1)


class WrongHistories:
    """The shoppers of a file, to be mistaken for each other."""

    def __init__(self, requests: Sequence[JudgedRequest]) -> None:
        asked = [rerank_request(request) for request in requests]
        self._shoppers: list[tuple[str | None, dict[str, Any]]] = [
            (
                request.user or request.session,
                {"user": request.user, "session": request.session, "time": request.time},
            )
            for request in asked
        ]
        self._events = [request.history for request in asked]

    def swapped(self, request: RerankRequest) -> RerankRequest:
        """The request with the history of another shopper, always the same one."""
        own = request.user or request.session
        digest = hashlib.blake2b(f"{own} {request.query}".encode("utf-8", "surrogatepass")).digest()
        first = int.from_bytes(digest[:8], "little")
        for step in range(len(self._shoppers)):
            place = (first + step) % len(self._shoppers)
            shopper, names = self._shoppers[place]
            if shopper != own:
                return msgspec.structs.replace(request, history=self._events[place], **names)
        return msgspec.structs.replace(request, personalize=False)


def unpersonalised(request: RerankRequest) -> RerankRequest:
    """The same search by nobody."""
    return msgspec.structs.replace(request, personalize=False)
