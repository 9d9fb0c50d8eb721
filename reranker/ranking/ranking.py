"""ranking.py: request -> signals -> blend -> ranking. The main path, read from `rerank` down."""

import logging
import time
from collections.abc import Callable

from reranker.blends.blend import Blend, for_segment, wanted
from reranker.blends.gate import gate_features
from reranker.blends.segments import Segment, segment_of
from reranker.errors import BadRequest
from reranker.ranking.partial import (
    BlendName,
    Degraded,
    PartialRanking,
    Ranked,
    Ranking,
    degraded_of,
    finished,
)
from reranker.ranking.state import ServedState
from reranker.ranking.weights import check_weights
from reranker.requests import RerankRequest
from reranker.runtime.budget import Left, RequestBudget
from reranker.runtime.stages import Stages
from reranker.signals.columns import Column
from reranker.signals.context import RankingContext
from reranker.signals.registry import SIGNALS, Columns, compute

log = logging.getLogger("reranker")

Begun = Callable[[PartialRanking], object]


def rerank(
    request: RerankRequest,
    state: ServedState,
    budget: RequestBudget | None = None,
    stages: Stages | None = None,
    begun: Begun | None = None,
) -> Ranking:
    """Rank the candidates of one request by the blend that it names; UnknownBlend without one."""
    budget = budget or _budget_of(request)  # its time passes while a blend is read, too
    return rank(request, state, *state.blend(request.blend), budget, stages, begun)


def rank(
    request: RerankRequest,
    state: ServedState,
    blend: Blend,
    version: int,
    budget: RequestBudget | None = None,
    stages: Stages | None = None,
    begun: Begun | None = None,
) -> Ranking:
    """Rank the candidates of one request by this blend, whichever the request names.

    budget: of a request that somebody waits for; see deadlines.py. stages: where to add the seconds
    of each stage. begun: is told what will be filled, as soon as it is known. Raises BadRequest for
    what cannot be meant; everything else that is missing or late is left out and named in
    `degraded`.
    """
    budget = budget or _budget_of(request)
    check_weights(request.weights)
    stages = stages or Stages()
    context = RankingContext(
        request,
        state.index,
        state.query_vectors,
        state.text_limit,
        deadline=budget.deadline,
        personal=state.personal,
        stages=stages,
    )
    with stages("signals"):
        segment = _segment(blend, context)
        blend = for_segment(blend, segment)
        partial = PartialRanking(context, blend, version, segment, wanted(blend, request.weights))
        if begun is not None:
            begun(partial)
        columns = compute(context, partial.wanted, budget, partial.columns)
    with stages("blend"):
        partial.weigh(gate_of(blend, context, columns))
    degraded = degraded_of(columns) if request.candidates else []  # no results are normal
    return finished(partial, state.versions, degraded, stages)


def _segment(blend: Blend, context: RankingContext) -> Segment | None:
    """The segment that this request belongs to; the blend's own weights where that is not known."""
    try:
        return segment_of(blend.segments, context)
    except (BadRequest, Left):  # the caller's to mend, or nobody waits
        raise
    except Exception:
        log.exception("the segments failed; the blend's own weights count")
        return None


def gate_of(blend: Blend, context: RankingContext, columns: Columns) -> float | None:
    """How much the personal signals count; None where none says anything."""
    if not any(
        SIGNALS[name].personal and isinstance(column, Column) for name, column in columns.items()
    ):
        return None
    if blend.gate is None:
        return 1.0
    try:
        return blend.gate.value(gate_features(context))
    except Left:
        raise
    except Exception:
        log.exception("the gate failed; personal signals were left out")
        return 0.0


def _budget_of(request: RerankRequest) -> RequestBudget:
    if request.budget_ms is None:
        return RequestBudget()
    return RequestBudget(time.perf_counter() + request.budget_ms / 1000)


__all__ = ["Blend", "BlendName", "Degraded", "Ranked", "Ranking", "rank", "rerank"]
