"""tune.py: judged requests -> a blend of each kind, and what each is worth on requests held out.

The signals are computed once; the blends are fitted on one part of the requests, and reported on
another, on the main path. Nothing is published.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
import numpy as np

from indexes.errors import Failure
from indexes.progress import Progress, silent
from indexes.storage.arrays import Ints, Values
from reranker.blends.blend import Blend, Kind, SignalWeight
from reranker.evaluation.aggregate import Aggregate, Coverage
from reranker.evaluation.evaluate import DEFAULTS
from reranker.evaluation.leakage import Leaks, was_fitted_on
from reranker.evaluation.results import ENGINE, QueryResult, Ranker, query_results, rank_with
from reranker.evaluation.settings import EvaluationSettings
from reranker.feedback.off_policy import EstimateReport, LoggedClicks
from reranker.metrics.intervals import LEVEL, Difference, over_folds
from reranker.metrics.ranking import Measures, measures
from reranker.ranking.state import NamedBlend, ServedState
from reranker.requests import JudgedRequest
from reranker.signals.registry import SIGNALS
from reranker.tuning.click_estimates import CURVES, add_clicks, estimated
from reranker.tuning.clicks import clicked
from reranker.tuning.columns import JudgedColumns, judged_columns
from reranker.tuning.fitting import KINDS, Fitted, Fitter
from reranker.tuning.matrices import signals_seen, start_of
from reranker.tuning.pareto import ChangePoint, change_points
from reranker.tuning.splits import Fold, Split, outer_folds

PUBLISHED: Final = "published"
CHOSEN: Final = "chosen"
_FIT: Final = "fitted "  # before the kinds in the aggregate: no blend is called so


class Tuning(msgspec.Struct, frozen=True):
    """What came of it; everything but `weights` is of requests that the fitted blends had not seen.

    metrics: by order; "chosen" is in each fold the kind that its own validation part chose.
    difference: chosen minus `compared_with`. against_published: minus the published blend.
    differences: of each kind. Intervals over several folds are widened for what their fits share.
    proof: `against_published` of the first metric, its interval for as many comparisons as kinds
    were `tried`. recommended: that interval is above zero, and the engine is not better. chosen:
    the kind that is fitted again on all requests, by `validated`, the metric on all validation
    parts. fitted_on: how many of the requests the published blend was fitted on: its own figures
    are then too good. weights: of the final blend.
    clicks: where most grades are clicks on what was shown, the estimate that then decides instead
    of the metrics, its intervals at the level of `proof`. leaks_by: those refused, by reason.
    warnings: what is odd about the requests.
    """

    queries: int
    left_out: int
    leaks: int
    held_out: int
    folds: int
    shoppers: int | None
    metric: str
    metrics: dict[str, dict[str, float]]
    compared_with: str
    difference: dict[str, Difference]
    differences: dict[str, dict[str, Difference]]
    against_published: dict[str, Difference]
    published: str
    fitted_on: int
    notes: list[str]
    chosen: Kind
    proof: Difference
    tried: int
    recommended: bool
    validated: dict[str, float]
    weights: dict[str, float]
    pareto: list[ChangePoint]
    pareto_kind: Kind | None
    coverage: Coverage
    versions: dict[str, str | None]
    seconds: float
    clicks: EstimateReport | None = None
    leaks_by: dict[str, int] = {}
    warnings: list[str] = []


@dataclass(frozen=True)
class TuneOptions:
    """kinds: those that compete. without: signals that are left out.

    base: begin with this one; None: the published one. compare: with this one; None: the engine.
    """

    base: NamedBlend | None = None
    kinds: Sequence[Kind] = KINDS
    without: Sequence[str] = ()
    compare: NamedBlend | None = None
    split: Split = "auto"
    allow_leak: bool = False
    threads: int = 2


def tune(
    requests: Sequence[JudgedRequest],
    state: ServedState,
    options: TuneOptions,
    metrics: Measures | None = None,
    settings: EvaluationSettings = DEFAULTS,
    progress: Progress = silent,
) -> tuple[Tuning, Blend]:
    """The report and the chosen blend, refitted on all the requests. First metric: what counts."""
    began = time.perf_counter()
    chosen_metrics = metrics or measures()
    _, base, base_version, _ = options.base or state.named(None)
    compared = _label(options.compare) if options.compare else ENGINE
    columns, left_out, leaks = _columns(requests, state, base, options, progress)
    known = _fitted_on(state, base, base_version, columns)
    start = start_of(
        base,
        [name for name in signals_seen(columns) if name not in options.without],
        built_in=known > 0,
    )
    fitter = Fitter(columns, start, chosen_metrics, options.threads)
    folds = outer_folds(columns, options.split)
    fitted = _fit_all(fitter, folds, options.kinds, progress)
    aggregate = _judge(columns, state, folds, fitted, options, chosen_metrics, progress)
    chosen = _choose(fitted, options.kinds)
    with progress("refit", 1) as done:
        final = fitter.fit(chosen, np.arange(len(columns))).blend
        done(1)

    def against(order: str, baseline: str, level: float = LEVEL) -> dict[str, Difference]:
        differences = aggregate.differences(
            order, baseline, settings.resamples, settings.seed, level
        )
        return {name: over_folds(found, len(folds)) for name, found in differences.items()}

    difference = against(CHOSEN, compared)
    means = aggregate.means()
    metric = chosen_metrics.names[0]
    level = 1.0 - (1.0 - LEVEL) / len(options.kinds)
    clicks = _clicks(columns, state, folds, fitted, fitter, options, settings, level)
    if clicks is None:
        proof = against(CHOSEN, PUBLISHED, level)[metric]
        above_engine = means[CHOSEN][metric] >= means[ENGINE][metric]
    else:
        gain = clicks.difference
        proof = over_folds(Difference(gain.value, gain.low, gain.high, None), len(folds))
        rates = {name: order.clicks.value for name, order in clicks.orders.items()}
        above_engine = rates[CHOSEN] >= rates[ENGINE]
    published, version = state.blend(None)
    drawable = options.kinds if clicks is None else ()  # a plain metric would mislead
    drawn, points = _pareto(columns, folds, fitted, drawable, chosen, chosen_metrics)
    report = Tuning(
        queries=len(columns),
        left_out=left_out,
        leaks=leaks.count,
        leaks_by=leaks.by_reason,
        warnings=leaks.warnings(),
        held_out=aggregate.queries,
        folds=len(folds),
        shoppers=aggregate.shoppers,
        metric=metric,
        metrics={order.removeprefix(_FIT): values for order, values in means.items()},
        compared_with=compared,
        difference=difference,
        differences={kind: against(_FIT + kind, compared) for kind in options.kinds},
        against_published=against(CHOSEN, PUBLISHED),
        published=f"{published.name}@{version}",
        fitted_on=_fitted_on(state, published, version, columns),
        notes=_notes(base, known),
        chosen=chosen,
        proof=proof,
        tried=len(options.kinds),
        clicks=clicks,
        recommended=_is_gain(proof) and above_engine,
        validated={kind: float(np.mean(_validated(fitted, kind))) for kind in options.kinds},
        weights={name: part.weight for name, part in final.signals.items()},
        pareto=points,
        pareto_kind=drawn,
        coverage=aggregate.coverage(),
        versions=state.versions,
        seconds=round(time.perf_counter() - began, 1),
    )
    return report, final


def _label(compare: NamedBlend) -> str:
    """A blend by name and version, which no kind can be mistaken for."""
    return f"{compare.blend.name}@{compare.version}"


def _fitted_on(
    state: ServedState, blend: Blend, version: int, columns: Sequence[JudgedColumns]
) -> int:
    """How many of these requests a blend was fitted on."""
    seen = state.store.fitted_on(blend.name, version)
    names = state.keys.open()
    return sum(was_fitted_on(judged.request, seen, names) for judged in columns)


def _notes(base: Blend, known: int) -> list[str]:
    notes = []
    if known:
        notes.append(
            f"{base.name} was fitted on {known:,} of these requests; tuning began with the "
            "built-in weights"
        )
    if base.segments:
        names = ", ".join(segment.name for segment in base.segments)
        notes.append(f"segments of {base.name} are not carried over: {names}")
    return notes


def _columns(
    requests: Sequence[JudgedRequest],
    state: ServedState,
    base: Blend,
    options: TuneOptions,
    progress: Progress,
) -> tuple[list[JudgedColumns], int, Leaks]:
    """Signals of the requests that may be used, how many say nothing, and those refused."""
    for name in options.without:
        if name not in SIGNALS:
            raise Failure(
                f"--without names {name!r}, which is no signal; signals are {', '.join(SIGNALS)}.",
                field="without",
            )
    names = [name for name in SIGNALS if name not in options.without]
    everything = msgspec.structs.replace(
        base, signals=dict.fromkeys(names, SignalWeight(1.0)), kind="linear", curves={}, trees=None
    )
    leaks = Leaks(state, [everything], options.allow_leak)
    with progress("signals", len(requests)) as done:
        columns, left_out = judged_columns(leaks.without(requests), state, names, done)
    leaks.check(len(columns) + left_out)
    if not columns:
        raise Failure(
            f"None of the {left_out:,} requests has a rating above 0.",
            field="ratings",
            hint="Give ratings in the requests, or in a file with --judgments.",
        )
    return columns, left_out, leaks


def _fit_all(
    fitter: Fitter, folds: Sequence[Fold], kinds: Sequence[Kind], progress: Progress
) -> list[dict[Kind, Fitted]]:
    fitted: list[dict[Kind, Fitted]] = []
    with progress("fit", len(folds) * len(kinds)) as done:
        for fold in folds:
            blends: dict[Kind, Fitted] = {}
            for kind in kinds:
                blends[kind] = fitter.fit(kind, fold.train)
                done(1)
            fitted.append(blends)
    return fitted


def _judge(
    columns: Sequence[JudgedColumns],
    state: ServedState,
    folds: Sequence[Fold],
    fitted: Sequence[dict[Kind, Fitted]],
    options: TuneOptions,
    metrics: Measures,
    progress: Progress,
) -> Aggregate:
    """The held-out requests of each fold, ranked on the main path by that fold's blends."""
    others: dict[str, Ranker] = {PUBLISHED: partial(rank_with, state, state.named(None))}
    if compare := options.compare:
        others[_label(compare)] = partial(rank_with, state, compare)
    kinds = [_FIT + kind for kind in options.kinds]
    aggregate = Aggregate(metrics.names, (ENGINE, *others, *kinds, CHOSEN))
    with progress("judge", sum(len(fold.test) for fold in folds)) as done:
        for fold, blends in zip(folds, fitted, strict=True):
            trials = {
                _FIT + kind: partial(rank_with, state, NamedBlend(kind, trial.blend, 0))
                for kind, trial in blends.items()
            }
            rankers = others | trials
            chosen = _FIT + _choose([blends], options.kinds)
            held_out = [columns[number].request for number in fold.test.tolist()]
            for result in query_results(held_out, rankers, metrics):
                aggregate.add(_with_chosen(result, chosen))
                done(1)
    return aggregate


def _clicks(
    columns: Sequence[JudgedColumns],
    state: ServedState,
    folds: Sequence[Fold],
    fitted: Sequence[dict[Kind, Fitted]],
    fitter: Fitter,
    options: TuneOptions,
    settings: EvaluationSettings,
    level: float,
) -> EstimateReport | None:
    """What the chosen blends would have had on held-out clicks; None where most is judged."""
    if fitter.examination is None or 2 * len(clicked(columns)) < len(columns):
        return None
    logged = LoggedClicks()
    published = partial(rank_with, state, state.named(None))
    for fold, blends in zip(folds, fitted, strict=True):
        fit = blends[_choose([blends], options.kinds)].blend
        chosen = partial(rank_with, state, NamedBlend(CHOSEN, fit, 0))
        rankers: dict[str, Ranker] = {CHOSEN: chosen, PUBLISHED: published}
        for number in fold.test.tolist():
            if columns[number].positions is not None:
                add_clicks(logged, columns[number], rankers)
    curves = fitter.drawn_examinations(CURVES, settings.seed)
    resamples = settings.resamples
    return estimated(logged, fitter.examination, curves, PUBLISHED, resamples, level)


def _with_chosen(result: QueryResult, order: str) -> QueryResult:
    """The same result with one of its orders as the chosen one, too."""
    return msgspec.structs.replace(
        result,
        metrics=result.metrics | {CHOSEN: result.metrics[order]},
        judged_top=result.judged_top | {CHOSEN: result.judged_top[order]},
    )


def _choose(fitted: Sequence[dict[Kind, Fitted]], kinds: Sequence[Kind]) -> Kind:
    """The simplest kind that no other beats beyond doubt, by two standard errors, in validation.

    A simpler kind is easier to explain and to bend, and carries over better to other searches.
    """
    values = {kind: _validated(fitted, kind) for kind in kinds}
    best = max(kinds, key=lambda kind: float(values[kind].mean()))
    for kind in kinds:
        lost = values[best] - values[kind]
        if lost.mean() <= 2 * lost.std() / np.sqrt(len(lost)):
            return kind
    return best


def _validated(fitted: Sequence[dict[Kind, Fitted]], kind: Kind) -> Values:
    return np.concatenate([by_kind[kind].validated for by_kind in fitted])


def _is_gain(difference: Difference) -> bool:
    return difference.low is not None and difference.low > 0


def _pareto(
    columns: Sequence[JudgedColumns],
    folds: Sequence[Fold],
    fitted: Sequence[dict[Kind, Fitted]],
    kinds: Sequence[Kind],
    chosen: Kind,
    metrics: Measures,
) -> tuple[Kind | None, list[ChangePoint]]:
    """What a bolder or more careful blend would gain, and how much it would change the lists.

    Of the chosen kind, unless that is trees: each point would cost their shares of every request.
    """
    drawable = [kind for kind in (chosen, *reversed(kinds)) if kind != "trees" and kinds]
    if not drawable:
        return None, []
    kind = drawable[0]
    judged = [
        (columns[number], blends[kind].blend)
        for fold, blends in zip(folds, fitted, strict=True)
        for number in _thinned(fold.test)
    ]
    return kind, change_points(judged, metrics)


def _thinned(test: Ints, most: int = 400) -> list[int]:
    numbers: list[int] = test[:: max(1, len(test) // most)].tolist()
    return numbers
