"""ranking.py: request -> signals -> blend -> ranking. The main path, read from `rerank` down."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Values
from reranker.blends.blend import Blend, for_segment
from reranker.blends.diversity import diversified
from reranker.blends.gate import gate_features
from reranker.blends.guard_rails import Guards, Moves, guarded, note_moves
from reranker.blends.segments import Segment, segment_of
from reranker.errors import BadRequest
from reranker.ranking.explanations import Explanation, explain
from reranker.ranking.scoring import scored
from reranker.ranking.state import ServedState
from reranker.ranking.weights import check_weights
from reranker.requests import RerankRequest
from reranker.runtime.budget import Left, RequestBudget, Stages
from reranker.signals.columns import Column, Missing
from reranker.signals.context import RankingContext
from reranker.signals.registry import SIGNALS, Columns, compute

log = logging.getLogger("reranker")

_NO_GUARDS: Final = Guards()


class Ranked(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One candidate in its new place. `index`: place in the request from 0; `rank`: from 1."""

    id: str
    index: int
    rank: int
    score: float
    explanation: Explanation | None = None


class Degraded(msgspec.Struct, frozen=True, omit_defaults=True):
    """A signal that could not say all that it might have, why, and for how many candidates.

    candidates: their places in the request, where these are named.
    """

    signal: str
    reason: str
    count: int | None = None
    candidates: list[int] | None = None


class BlendName(msgspec.Struct, frozen=True):
    """Which blend ranked."""

    name: str
    version: int


class Ranking(msgspec.Struct, frozen=True):
    """Exactly the candidates that were sent, best first, with what made the order."""

    results: list[Ranked]
    blend: BlendName
    versions: dict[str, str | None]
    degraded: list[Degraded]
    gate: float | None = None  # how much personal signals counted; None without any


@dataclass(eq=False)
class PartialRanking:
    """What is known so far of a ranking. The thread that ranks writes, one that waits reads.

    blend: with the weights that count in the segment. wanted: the signals that are computed.
    """

    context: RankingContext
    blend: Blend
    version: int
    segment: Segment | None
    wanted: list[str]
    columns: Columns = field(default_factory=dict)
    gate: float | None = None
    weighed: bool = False  # whether the gate is known


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
        towers=state.towers,
        stages=stages,
    )
    with stages("signals"):
        segment = _segment(blend, context) if blend.segments else None
        blend = for_segment(blend, segment) if segment else blend
        partial = PartialRanking(context, blend, version, segment, _wanted(blend, context))
        if begun is not None:
            begun(partial)
        columns = compute(context, partial.wanted, budget, partial.columns)
    with stages("blend"):
        partial.gate, partial.weighed = gate_of(blend, context, columns), True
    degraded = [*degraded_of(columns), *not_personal(context, partial.wanted)]
    if not request.candidates:  # no results are normal
        degraded = []
    ranking = finished(partial, state.versions, degraded, stages)
    budget.unless_left(context.done)
    return ranking


def _wanted(blend: Blend, context: RankingContext) -> list[str]:
    """Signals that are computed: without those for which the index has nothing."""
    names = wanted(blend, context.request.weights)
    if context.index.modalities:
        return names
    return [name for name in names if not SIGNALS[name].vectors]


def wanted(blend: Blend, weights: Mapping[str, float]) -> list[str]:
    """Signals that can move this ranking; the others need no computing."""
    return [
        name
        for name, part in blend.signals.items()
        if part.weight != 0 and (weights.get(name, 1.0) != 0 or blend.kind == "trees")
    ]


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


def finished(
    partial: PartialRanking,
    versions: dict[str, str | None],
    degraded: list[Degraded],
    stages: Stages,
    *,
    by_score: bool = True,
) -> Ranking:
    """Score, order, explain: what every ranking ends with.

    by_score: else the candidates stay in the engine's order but for diversity and guard rails.
    """
    context, blend, gate = partial.context, partial.blend, partial.gate
    request = context.request
    with stages("blend"):
        score, parts = scored(
            blend,
            partial.columns,
            request.weights,
            len(request.candidates),
            1.0 if gate is None else gate,
            # A history that nothing reads is not fetched.
            context_features(context) if blend.trees else {},
            request.explain,
        )
        standing = score if by_score else np.zeros_like(score)
        # Equal scores stay in the engine's order.
        order, moves = np.argsort(-standing, kind="stable"), Moves()
        try:
            order, moves = _placed(blend, context, standing, order)
        except (BadRequest, Left):
            raise
        except Exception:  # a rule that cannot be kept costs itself, not what the signals say
            log.exception("diversity or a guard rail failed and was left out")
            degraded = [*degraded, Degraded("guards", "internal_error")]
    with stages("results"):
        explained = None
        if request.explain:
            segment = partial.segment.name if partial.segment else None
            explained = explain(parts, order[: request.top_n], gate, segment, moves)
        results = results_of(context.ids, order[: request.top_n], score, explained)
    return Ranking(
        results=results,
        blend=BlendName(blend.name, partial.version),
        versions=versions,
        degraded=degraded,
        gate=gate,
    )


def context_features(context: RankingContext) -> dict[str, float]:
    """What trees may know of a request, the same for all of its candidates."""
    history = context.history
    events = 0 if isinstance(history, Missing) else len(history.events)
    return {
        "history": math.log1p(events),
        "query_words": float(len(context.query_words)),
        "candidates": math.log1p(len(context.ids)),
    }


def degraded_of(columns: Columns) -> list[Degraded]:
    """What these columns lack, as the answer names it."""
    degraded = []
    for name, column in columns.items():
        if isinstance(column, Missing):
            if column.degraded:
                degraded.append(Degraded(name, column.reason))
        else:
            degraded.extend(Degraded(name, reason, count) for reason, count in column.lost)
    return degraded


def not_personal(context: RankingContext, wanted: Iterable[str]) -> list[Degraded]:
    """`behaviour`, where somebody is named, nothing learned is served and no signal says so.

    wanted: the signals of the blend. The built-in one weighs none that needs a model.
    """
    request, personal = context.request, context.personal
    named = bool(request.user or request.session or request.history)
    if not named or not request.personalize or personal.learned is not None:
        return []
    if any(SIGNALS[name].learned for name in wanted):
        return []
    return [Degraded("behaviour", personal.reason)]


def _placed(
    blend: Blend, context: RankingContext, score: Values, order: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], Moves]:
    """The order by score after diversity and guard rails, and what they moved."""
    moves: Moves = {}
    if blend.diversity is not None and len(order):
        spread = diversified(blend.diversity, order, score, *context.item_vectors)
        note_moves(moves, "diversity", order, spread)
        order = spread
    if blend.guards != _NO_GUARDS and len(order):
        order, guard_moves = guarded(blend.guards, context, order)
        for candidate, candidate_moves in guard_moves.items():
            moves.setdefault(candidate, []).extend(candidate_moves)
    return order, moves


def results_of(
    ids: list[str],
    top: npt.NDArray[np.int64],
    score: Values,
    explained: list[Explanation] | None,
) -> list[Ranked]:
    """The candidates of these places, as they are answered."""
    places, ranks = top.tolist(), range(1, len(top) + 1)
    columns = map(ids.__getitem__, places), places, ranks, score[top].tolist()
    return list(map(Ranked, *columns, explained) if explained else map(Ranked, *columns))
