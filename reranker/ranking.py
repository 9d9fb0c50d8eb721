"""ranking.py: request -> signals -> blend -> ranking. The main path, read from `rerank` down."""

import logging
import math
import time
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexes.quoting import shown
from reranker.blends import Blend, for_segment, wanted
from reranker.columns import Column, Missing, Values
from reranker.contributions import scored
from reranker.diversity import diversified
from reranker.errors import BadRequest
from reranker.explanations import Explanation, explain
from reranker.gates import gate_features
from reranker.guard_rails import Guards, Moves, guarded, note_moves
from reranker.progress import Left, Progress
from reranker.requests import RerankRequest
from reranker.scenes import Scene
from reranker.segments import Segment, segment_of
from reranker.signals import SIGNALS, Columns, compute
from reranker.stages import Stages
from reranker.state import ServedState

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


def rerank(
    request: RerankRequest,
    state: ServedState,
    progress: Progress | None = None,
    stages: Stages | None = None,
) -> Ranking:
    """Rank the candidates of one request.

    progress: of a request that somebody waits for; see timely.py. stages: where to add the seconds
    of each stage. Raises UnknownBlend and BadRequest for what cannot be meant; everything else that
    is missing or late is left out and named in `degraded`.
    """
    progress = progress or Progress(_deadline(request))
    blend, version = state.blend(request.blend)
    _check_weights(request)
    scene = Scene(
        request,
        state.index,
        state.query_vectors,
        state.text_limit,
        deadline=progress.deadline,
        personal=state.personal,
        stages=stages or Stages(),
    )
    with scene.stages("signals"):
        segment = _segment(blend, scene)
        blend = for_segment(blend, segment)
        names = wanted(blend, request.weights)
        progress.begun(blend, version, scene, segment, names)
        columns = compute(scene, names, progress)
    with scene.stages("blend"):
        gate = gate_of(blend, scene, columns)
        progress.weigh(gate)
        score, parts = scored(
            blend,
            columns,
            request.weights,
            len(request.candidates),
            1.0 if gate is None else gate,
            # A history that nothing reads is not fetched.
            context_of(scene) if blend.trees else {},
            request.explain,
        )
        order, moves = _order(blend, scene, score)
    with scene.stages("results"):
        explained = (
            explain(parts, order[: request.top_n], gate, segment.name if segment else None, moves)
            if request.explain
            else None
        )
        results = results_of(request, order, score, explained)
    return Ranking(
        results=results,
        blend=BlendName(blend.name, version),
        versions=state.versions,
        degraded=degraded_of(columns) if request.candidates else [],  # no results are normal
        gate=gate,
    )


def context_of(scene: Scene) -> dict[str, float]:
    """What trees may know of a request, the same for all of its candidates."""
    past = scene.past
    history = 0 if isinstance(past, Missing) else len(past.events)
    return {
        "history": math.log1p(history),
        "query_words": float(len(scene.query_words)),
        "candidates": math.log1p(len(scene.ids)),
    }


def _segment(blend: Blend, scene: Scene) -> Segment | None:
    """The segment that this request belongs to; the blend's own weights where that is not known."""
    try:
        return segment_of(blend.segments, scene)
    except (BadRequest, Left):  # the caller's to mend, or nobody waits
        raise
    except Exception:
        log.exception("the segments failed; the blend's own weights count")
        return None


def _order(blend: Blend, scene: Scene, score: Values) -> tuple[npt.NDArray[np.int64], Moves]:
    """Candidates by score, equal scores in the engine's order; then diversity and guard rails."""
    order = np.argsort(-score, kind="stable")
    moves: Moves = {}
    if blend.diversity is not None and len(order):
        spread = diversified(blend.diversity, order, score, *scene.item_vectors)
        note_moves(moves, "diversity", order, spread)
        order = spread
    if blend.guards != _NO_GUARDS and len(order):
        order, guard_moves = guarded(blend.guards, scene, order)
        for candidate, found in guard_moves.items():
            moves.setdefault(candidate, []).extend(found)
    return order, moves


def gate_of(blend: Blend, scene: Scene, columns: Columns) -> float | None:
    """How much the personal signals count; None where none says anything."""
    if not any(
        SIGNALS[name].personal and isinstance(column, Column) for name, column in columns.items()
    ):
        return None
    if blend.gate is None:
        return 1.0
    try:
        return blend.gate.value(gate_features(scene))
    except Left:
        raise
    except Exception:
        log.exception("the gate failed; personal signals were left out")
        return 0.0


def _deadline(request: RerankRequest) -> float | None:
    if request.budget_ms is None:
        return None
    return time.perf_counter() + request.budget_ms / 1000


def _check_weights(request: RerankRequest) -> None:
    for name, weight in request.weights.items():
        if name not in SIGNALS:
            raise BadRequest(
                f"weights names {shown(name)}, which is no signal; "
                f"signals are {', '.join(SIGNALS)}.",
                field=f"weights.{name}",
            )
        if not abs(weight) <= 1000:
            raise BadRequest(
                f"weights.{name} is {weight}; numbers from -1000 to 1000 are allowed.",
                field=f"weights.{name}",
            )


def results_of(
    request: RerankRequest,
    order: npt.NDArray[np.int64],
    score: Values,
    explained: list[Explanation] | None,
) -> list[Ranked]:
    ids = [candidate.id for candidate in request.candidates]
    kept = order[: request.top_n].tolist()
    values = score[order].tolist()
    return [
        Ranked(ids[index], index, place + 1, values[place], explained[place] if explained else None)
        for place, index in enumerate(kept)
    ]


def degraded_of(columns: Columns) -> list[Degraded]:
    found = []
    for name, column in columns.items():
        if isinstance(column, Missing):
            if column.degraded:
                found.append(Degraded(name, column.reason))
        else:
            found.extend(Degraded(name, reason, count) for reason, count in column.lost)
    return found


__all__ = ["Blend", "BlendName", "Degraded", "Ranked", "Ranking", "rerank"]
