"""rerank.py: POST /rerank -> the core's ranking as JSON; at worst the engine's own order.

GET /rankings/<id> -> the pages of one that top_n cut, for 15 minutes.
"""

import secrets
import time
from collections.abc import Callable
from math import inf
from typing import Final, NamedTuple, TypeVar

import msgspec
from flask import Blueprint, Response, request

from reranker.errors import BadRequest
from reranker.experiments.shadows import Shadows
from reranker.feedback.log import RankingLog
from reranker.ranking.ranking import BlendName, Degraded, Ranked, Ranking
from reranker.ranking.state import ServedState
from reranker.requests import RerankRequest
from reranker.runtime.budget import Stages
from service.api.requests import Asked, RequestReader
from service.http.answers import error_answer, json_answer
from service.http.received import arrival, deadline_of, read_body, shortened
from service.http.settings import LimitSettings
from service.live.kept_rankings import MINUTES, KeptRanking, KeptRankings
from service.live.reload import Served
from service.observability.prometheus import Metrics
from service.observability.request_ids import note_ranking

PAGE: Final = 20  # results of a page, unless top_n says how many


class RerankAnswer(msgspec.Struct, frozen=True):
    """What `POST /rerank` answers."""

    id: str
    results: list[Ranked]
    blend: BlendName
    versions: dict[str, str | None]
    degraded: list[Degraded]
    took_ms: float


class Begun(NamedTuple):
    """A request at its arrival. started: `time.perf_counter()`; state: read once, so that one
    answer never mixes two versions."""

    started: float
    state: ServedState
    stages: Stages


T = TypeVar("T")
# A body that is not ours -> what answers it in the format that it is in; None where it is in none.
Others = Callable[[bytes], Callable[[Begun], Response] | None]


class Reranking:
    """What every route that ranks ends in, whatever its format: rank, note, log, count, write."""

    def __init__(
        self,
        served: Served,
        metrics: Metrics,
        rankings: RankingLog,
        shadows: Shadows,
        kept: KeptRankings | None = None,
    ) -> None:
        """kept: where the whole of what top_n cut goes; None keeps nothing."""
        self._served, self._metrics = served, metrics
        self._rankings, self._shadows, self._kept = rankings, shadows, kept

    def begin(self) -> Begun:
        """Before anything of the request is read."""
        return self.begin_at(arrival())

    def begin_at(self, started: float) -> Begun:
        """The same of a request that came then, on `time.perf_counter`."""
        return Begun(started, self._served.state, Stages())

    def finish(
        self,
        begun: Begun,
        sent: Asked,
        write: Callable[[RerankAnswer], T],
        named: str | None = None,
        before: float = inf,
    ) -> T:
        """The answer, in time. named: the ranking's id where the caller gives it one.

        before: when it has to be answered whatever its budget says, on `time.perf_counter`.
        """
        asked = sent.request
        started, state, stages = begun
        deadline = deadline_of(started, asked.budget_ms or self._served.budget_ms)
        whole = asked if named is not None else self._whole(asked)
        ranking = self._served.ranker.rerank(whole, state, min(deadline, before), stages)
        return self.write(begun, sent, ranking, write, named)

    def at_hand(self, begun: Begun, sent: Asked, timeout: str | None) -> Ranking | None:
        """The ranking where nothing has to be waited for; else None.

        timeout: the caller's own, as it was sent.
        """
        asked = sent.request
        seconds = shortened(asked.budget_ms or self._served.budget_ms, timeout)
        return self._served.ranker.at_hand(
            self._whole(asked), begun.state, begun.started + seconds, begun.stages
        )

    def fetch(
        self, begun: Begun, sent: Asked, timeout: str | None, then: Callable[[], object]
    ) -> bool:
        """Where a new query is all that is missing: have it encoded, and `then` be called."""
        asked = sent.request
        seconds = shortened(asked.budget_ms or self._served.budget_ms, timeout)
        return self._served.ranker.fetch(asked, begun.state, begun.started + seconds, then)

    def write(
        self,
        begun: Begun,
        sent: Asked,
        ranking: Ranking,
        write: Callable[[RerankAnswer], T],
        named: str | None = None,
    ) -> T:
        """The answer of this ranking, noted, logged and counted; of a whole one, which is kept,
        what was asked for."""
        asked = sent.request
        started, state, stages = begun
        if sent.cut:  # what was shortened before it was read
            ranking = msgspec.structs.replace(ranking, degraded=[*ranking.degraded, *sent.cut])
        note_ranking(asked, ranking)
        with stages("write"):
            answer = answer_of(ranking, started, sent.sent_ids, named)
            if asked.top_n is not None and len(ranking.results) > asked.top_n:
                answer = self._cut(answer, asked.top_n)
                ranking = msgspec.structs.replace(ranking, results=ranking.results[: asked.top_n])
            self._rankings.add(answer.id, asked, ranking)
            self._shadows.offer(answer.id, asked, ranking, state)
            written = write(answer)
        self._metrics.note_ranking(asked, ranking, stages)
        return written

    def _whole(self, asked: RerankRequest) -> RerankRequest:
        """The same without top_n where what it cuts off is kept: explanations are not."""
        cut = asked.top_n is not None and asked.top_n < len(asked.candidates)
        if cut and not asked.explain and self._kept is not None and self._kept.keeps:
            return msgspec.structs.replace(asked, top_n=None)
        return asked

    def _cut(self, answer: RerankAnswer, top_n: int) -> RerankAnswer:
        """The answer as asked for; the whole of it is kept."""
        if self._kept is not None:
            whole = KeptRanking(answer.results, answer.blend, answer.versions, answer.degraded)
            self._kept.add(answer.id, whole)
        return msgspec.structs.replace(answer, results=answer.results[:top_n])


def rerank_routes(
    reranking: Reranking, reader: RequestReader, limits: LimitSettings, others: Others
) -> Blueprint:
    """The route that a search backend calls. others: formats that share its address."""
    routes = Blueprint("rerank", __name__)

    @routes.post("/rerank")
    def rerank_route() -> Response:
        begun = reranking.begin()
        answer_other = None
        with begun.stages("read"):
            body = read_body(limits.body_bytes)
            try:
                sent = reader.read(body)
            except BadRequest:
                answer_other = others(body)
                if answer_other is None:
                    raise
        return answer_other(begun) if answer_other else reranking.finish(begun, sent, json_answer)

    return routes


def answer_of(
    ranking: Ranking,
    started: float,
    sent_ids: list[str] | None = None,
    named: str | None = None,
) -> RerankAnswer:
    """A ranking with its own id; started: `time.perf_counter()` at the request's arrival.

    sent_ids: as the caller wrote them, who finds the items again by these. named: an id that the
    caller gave the ranking.
    """
    results = ranking.results
    if sent_ids is not None:
        results = [msgspec.structs.replace(item, id=sent_ids[item.index]) for item in results]
    return RerankAnswer(
        id=named or ranking_id(),
        results=results,
        blend=ranking.blend,
        versions=ranking.versions,
        degraded=ranking.degraded,
        took_ms=round((time.perf_counter() - started) * 1000, 3),
    )


def ranking_id() -> str:
    """32 hex digits, unique, and in the order of time like a UUID of version 7."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


class RankingPage(msgspec.Struct, frozen=True, rename={"start": "from"}):
    """What `GET /rankings/<id>` answers: results from place `from` (from 0) on, of `total`."""

    id: str
    start: int
    total: int
    results: list[Ranked]
    blend: BlendName
    versions: dict[str, str | None]
    degraded: list[Degraded]


def rankings_routes(kept: KeptRankings) -> Blueprint:
    """The pages after the first one."""
    routes = Blueprint("rankings", __name__)

    @routes.get("/rankings/<ranking>")
    def page_route(ranking: str) -> Response:
        start, count = _number("from", 0), _number("top_n", PAGE)
        found = kept.get(ranking)
        if found is None:
            message = (
                f"No ranking {ranking[:80]!r} is kept: those that top_n cut are, without "
                f"explanations, for {MINUTES} minutes (limits.kept_rankings). Ask /rerank again."
            )
            return error_answer(404, message, "unknown_ranking")
        results = found.results[start : start + count]
        page = RankingPage(
            ranking,
            start,
            len(found.results),
            results,
            found.blend,
            found.versions,
            found.degraded,
        )
        return json_answer(page)

    return routes


def _number(name: str, default: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise BadRequest(f"{name} is {text[:80]!r}; a whole number from 0 is expected.", field=name)
    return int(text)
