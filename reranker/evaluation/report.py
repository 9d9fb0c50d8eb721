"""report.py: evaluation -> what a person reads: counts first, then tables."""

from collections.abc import Iterator
from typing import Final

from reranker.evaluation.evaluate import Evaluation, by_blend
from reranker.evaluation.leakage import refused
from reranker.evaluation.tables import (
    difference_rows,
    interval_of,
    judged_only_rows,
    moved_rows,
    segment_rows,
    table,
)
from reranker.metrics.intervals import Difference
from reranker.ranking.weights import weights_text

_HISTORIES: Final = {"": "own", ":stranger": "a stranger's", ":unpersonalised": "none"}


def report(
    result: Evaluation,
    bad_lines: int = 0,
    bad_judgments: int = 0,
    matched: int | None = None,
    unrated: int = 0,
) -> str:
    """The whole report: counts, metrics side by side, a sentence each, queries, kinds of query."""
    differences = by_blend(result)
    lines = [*_counts(result, bad_lines, bad_judgments, matched)]
    lines += [f"{unrated:,} unrated rows of judgments passed over"] if unrated else []
    lines += [*(f"warning: {warning}" for warning in result.warnings), ""]
    for blend in differences:
        lines += [*table(difference_rows(result, blend)), ""]
        condensed = judged_only_rows(result, blend)
        lines += [*table(condensed), ""] if condensed else []
    lines += [*_wrong_history(result), *_basis(result), ""]
    for blend, difference in differences.items():
        metric = next(iter(difference))
        lines.append(f"{metric}: {_verdict(result, blend, metric)}")
    return "\n".join([*lines, *_moved(result), *_segments(result), *_degraded(result)])


def _verdict(result: Evaluation, blend: str, metric: str) -> str:
    proof = result.proofs.get(blend)
    comparison = proof.comparison if proof else result.comparison
    difference = by_blend(result)[blend][metric]
    return verdict(blend, result.compared_with, difference, comparison[metric].p_holm)


def verdict(blend: str, baseline: str, difference: Difference, p: float | None = None) -> str:
    """What interval and p allow to say, in one sentence. p: corrected for several blends."""
    if difference.low is None or difference.high is None:
        return f"{difference.mean:+.3f}, but one shopper or query is too few for an interval."
    p = difference.p if p is None else p
    interval = f"{difference.low:.3f}..{difference.high:.3f}"
    if p is not None and p >= 0.05 and difference.low * difference.high > 0:
        return (
            f"at the edge: {difference.mean:+.3f}, interval {interval} leaves zero out, "
            f"but p is {p:.3f}; more queries would tell."
        )
    if difference.low > 0:
        return f"{blend} is better than {baseline} by {difference.mean:.3f}, interval {interval}."
    if difference.high < 0:
        return f"{blend} is worse than {baseline} by {-difference.mean:.3f}, interval {interval}."
    return f"no difference shown: the interval {interval} includes zero."


def _counts(
    result: Evaluation, bad_lines: int, bad_judgments: int, matched: int | None
) -> Iterator[str]:
    coverage = result.coverage
    yield f"{result.queries:,} queries evaluated, {result.left_out:,} left out (no rating above 0)"
    if matched is not None:
        total = result.queries + result.left_out
        yield f"{matched:,} of {total:,} requests found judgments"
    if bad_lines or bad_judgments:
        yield f"{bad_lines:,} bad lines of requests, {bad_judgments:,} of judgments skipped"
    top = ", ".join(f"{name} {share:.1%}" for name, share in coverage.judged_share_top10.items())
    yield (
        f"{coverage.judged:,} of {coverage.candidates:,} candidates are judged "
        f"({coverage.judged_share:.1%}); of the first 10: {top}"
    )
    if result.later_events:
        yield f"{result.later_events:,} history events not before their request's time, not used"
    if result.training_later:
        yield (
            f"{result.training_later:.1%} of the training events are later than a request, on "
            "average: what all shoppers did later is in the counts and the encoder "
            "(`reranker train --until TIME`)"
        )
    for blend, count in result.fitted_on.items():
        yield f"{blend} was fitted on {count:,} of these requests: its figures are too good"
    yield from refused(result.leaks_by)
    blends = ", ".join(f"{name} version {version}" for name, version in result.blends.items())
    for name, weights in result.weights.items():
        yield f"{name}: the blend with its signals multiplied, {weights_text(weights)}"
    yield f"index {result.versions.get('index')}; {blends}"


def _basis(result: Evaluation) -> Iterator[str]:
    gain = "the grade" if result.linear_gain else "2^grade - 1"
    units = f"{result.queries:,} queries"
    if result.shoppers is not None:
        units += f" of {result.shoppers:,} shoppers"
    yield (
        f"difference: blend minus {result.compared_with}, query by query, over {units}; "
        f"gain {gain}; {result.seconds:.1f} s"
    )
    several = len(result.proofs)
    corrected = f" p is corrected for {several} blends (Holm)." if several else ""
    yield f"d_z: the mean difference in standard deviations of the differences.{corrected}"


def _moved(result: Evaluation) -> Iterator[str]:
    """The few queries that moved most, of the first blend."""
    orders = result.compared_with, next(iter(result.blends))
    metric = next(iter(result.difference))
    rows = [
        row
        for title, moved in (("hurt", result.hurt), ("helped", result.helped))
        for row in (moved_rows(f"most {title}, {metric}", orders, moved) if moved else ())
    ]
    if rows:
        yield ""
        yield from table(rows)


def _segments(result: Evaluation) -> Iterator[str]:
    """Kinds of request on their own, of the first blend and metric."""
    if result.segments:
        orders = result.compared_with, next(iter(result.blends))
        yield ""
        yield from table(segment_rows(next(iter(result.difference)), orders, result.segments))
        worst = next((segment for segment in result.segments if segment.worst), None)
        if worst:
            difference = next(iter(worst.difference.values()))
            yield f"worst: {worst.segment}, {difference.mean:+.4f} ({interval_of(difference)})"
        below = [segment.segment for segment in result.segments if segment.below]
        where = ", ".join(below) if below else "no segment"
        yield f"wholly below {result.compared_with}: {where}"


def _degraded(result: Evaluation) -> list[str]:
    if not result.degraded:
        return []
    rows = [
        f"  {count.blend}: {count.signal} {count.reason} in {count.requests:,} requests "
        f"({count.candidates:,} candidates)"
        for count in result.degraded
    ]
    return ["", "degraded:", *rows]


def _wrong_history(result: Evaluation) -> list[str]:
    """What the right history gains, and what a wrong one costs, against none."""
    lines = []
    for blend in result.blends if result.gates else ():
        none = result.metrics[f"{blend}:unpersonalised"]
        width = len(blend) + 14
        heads = "".join(f"{metric:>14}" for metric in none)
        lines.append(f"{blend}, history".ljust(width) + heads + "   gate")
        for name, label in _HISTORIES.items():
            cells = "".join(
                f"{value:.4f} {_share(value, none[metric]):>5}".rjust(14)
                for metric, value in result.metrics[blend + name].items()
            )
            lines.append(f"  {label}".ljust(width) + f"{cells}   {result.gates[blend + name]:.2f}")
    return [*lines, ""] if lines else []


def _share(value: float, base: float) -> str:
    return f"{value / base - 1:+.0%}" if base else ""
