"""evaluate.py: judged requests -> how good the engine's order and each blend's order are.

Every request takes the main path, `rerank`: nothing is computed here that serving does not compute.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from indexes.errors import Failure
from reranker.evaluation.aggregate import Aggregate, Coverage, DegradedCount
from reranker.evaluation.breakdown import Breakdown, Proof, SegmentResult
from reranker.evaluation.leakage import FittedOn, Leaks
from reranker.evaluation.results import ENGINE, Moved, QueryResult, Ranker, query_results, rank_with
from reranker.evaluation.settings import EvaluationSettings
from reranker.evaluation.slices import Facts
from reranker.evaluation.wrong_history import Watched, WrongHistories, unpersonalised
from reranker.metrics.intervals import Difference
from reranker.metrics.ranking import Measures, measures
from reranker.metrics.significance import Comparison
from reranker.ranking.state import NamedBlend, ServedState
from reranker.requests import JudgedRequest

DEFAULTS: Final = EvaluationSettings()
WEIGHTED: Final = "+weights"  # after the name of a blend; no blend has a "+" in its own


class Evaluation(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result: counts first, then metrics side by side, then the difference.

    leaks: requests that were refused, because the model learned from events of their shopper at or
    after their time, or their time cannot tell; leaks_by: the same by reason. warnings: what is odd
    about the requests. fitted_on: how many of the requests a blend was fitted on. gates: how far
    the gate was open in the mean, with `wrong_history`.
    `difference` is the first blend minus `compared_with`, and `comparison`, `hurt`, `helped` and
    `segments` are of the same two; `differences` and `proofs` have each of several blends.
    weights: of blends whose signals were multiplied, by the name that they have here.
    judged_share: of the first 10, by order. judged_only: the metrics of the orders without the
    items that have no rating (condensed lists), and judged_only_difference by blend.
    """

    queries: int
    left_out: int
    metrics: dict[str, dict[str, float]]
    difference: dict[str, Difference]
    comparison: dict[str, Comparison]
    hurt: list[Moved]
    helped: list[Moved]
    segments: list[SegmentResult]
    compared_with: str
    blends: dict[str, int]
    coverage: Coverage
    degraded: list[DegradedCount]
    versions: dict[str, str | None]
    shoppers: int | None  # independent units behind the intervals; None: every query is one
    later_events: int
    linear_gain: bool
    seconds: float
    differences: dict[str, dict[str, Difference]] = {}
    proofs: dict[str, Proof] = {}
    leaks: int = 0
    leaks_by: dict[str, int] = {}
    warnings: list[str] = []
    fitted_on: dict[str, int] = {}
    gates: dict[str, float] = {}
    training_later: float | None = None  # share of the training, on average, after the request
    weights: dict[str, dict[str, float]] = {}
    judged_share: dict[str, float] = {}
    judged_only: dict[str, dict[str, float]] = {}
    judged_only_difference: dict[str, dict[str, Difference]] = {}


def weighted(blend: NamedBlend, weights: Mapping[str, float]) -> NamedBlend:
    """The blend with its signals multiplied, under a name of its own; the same without weights."""
    if not weights:
        return blend
    return blend._replace(name=f"{blend.name}{WEIGHTED}", weights=weights)


def by_blend(result: Evaluation) -> dict[str, dict[str, Difference]]:
    """The differences of each blend that was evaluated, also where there is only one."""
    return result.differences or {next(iter(result.blends)): result.difference}


def evaluate(
    requests: Iterable[JudgedRequest],
    state: ServedState,
    blends: Sequence[NamedBlend] = (),
    *,
    compare: NamedBlend | None = None,
    metrics: Measures | None = None,
    linear_gain: bool = False,
    settings: EvaluationSettings = DEFAULTS,
    on_query: Callable[[QueryResult], object] | None = None,
    allow_leak: bool = False,
    wrong_history: bool = False,
) -> Evaluation:
    """Rank every request with every blend and compare with the engine, or with blend `compare`.

    blends: by default the published one.
    on_query: sees the result of each request as it comes.
    allow_leak: also requests of which the model has seen the future (invariant 7 in DESIGN).
    wrong_history: also rank with another shopper's history, and with none.
    """
    began = time.perf_counter()
    blends_by_label = {blend.name: blend for blend in blends or (state.named(None),)}
    names = list(blends_by_label)
    baseline = compare.name if compare else ENGINE
    ranked = blends_by_label | ({compare.name: compare} if compare else {})
    _check_names(ranked.values())
    chosen = metrics or measures(linear_gain=linear_gain)
    rankers: dict[str, Ranker] = {
        name: partial(rank_with, state, blend) for name, blend in ranked.items()
    }
    watched: dict[str, Watched] = {}
    if wrong_history:
        requests = list(requests)
        watched = _with_wrong_histories(rankers, WrongHistories(requests))
        rankers = {**rankers, **watched}
    aggregate = Aggregate(chosen.names, (ENGINE, *rankers))
    breakdown = Breakdown(names, baseline, chosen.names[0])
    leaks = Leaks(state, [one.blend for one in ranked.values()], allow_leak)
    fitted = FittedOn(state, ranked.values())
    taken = fitted.watched(leaks.without(requests))
    for result in query_results(taken, rankers, chosen, linear_gain, Facts(state)):
        aggregate.add(result)
        breakdown.add(result)
        if on_query:
            on_query(result)
    leaks.check(aggregate.queries + aggregate.left_out)
    aggregate.check()
    how = (settings.resamples, settings.seed)
    differences = {name: aggregate.differences(name, baseline, *how) for name in names}
    proved = breakdown.of(aggregate, differences, *how)
    first = proved[names[0]]
    coverage = aggregate.coverage()
    return Evaluation(
        queries=aggregate.queries,
        left_out=aggregate.left_out,
        metrics=aggregate.means(),
        difference=differences[names[0]],
        comparison=first.comparison,
        hurt=first.hurt,
        helped=first.helped,
        segments=first.segments,
        compared_with=baseline,
        blends={name: one.version for name, one in ranked.items()},
        coverage=coverage,
        degraded=aggregate.degraded_counts(),
        versions=state.versions,
        shoppers=aggregate.shoppers,
        later_events=aggregate.later_events,
        linear_gain=linear_gain,
        seconds=round(time.perf_counter() - began, 3),
        differences=differences if len(differences) > 1 else {},
        proofs=proved if len(proved) > 1 else {},
        leaks=leaks.count,
        leaks_by=leaks.by_reason,
        warnings=leaks.warnings(),
        fitted_on=fitted.counts(),
        gates={name: ranker.mean for name, ranker in watched.items()},
        training_later=leaks.training_later,
        weights={name: dict(one.weights) for name, one in ranked.items() if one.weights},
        judged_share=coverage.judged_share_top10,
        judged_only=aggregate.judged_only_means(),
        judged_only_difference={
            name: aggregate.judged_only_differences(name, baseline, *how) for name in names
        },
    )


def _with_wrong_histories(rankers: dict[str, Ranker], others: WrongHistories) -> dict[str, Watched]:
    """Each blend three more times: watched, with a stranger's history, and with none."""
    watched = {}
    for name, rank in rankers.items():
        watched[name] = Watched(rank)
        watched[f"{name}:stranger"] = Watched(rank, others.swapped)
        watched[f"{name}:unpersonalised"] = Watched(rank, unpersonalised)
    return watched


def _check_names(blends: Iterable[NamedBlend]) -> None:
    if any(one.blend.name == ENGINE for one in blends):
        raise Failure(
            f"A blend called {ENGINE!r} cannot be told from the engine's own order.",
            field="blend",
            hint="Publish it under another name.",
        )
