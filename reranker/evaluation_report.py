"""evaluation_report.py: evaluation -> the table that a person reads, counts first."""

from collections.abc import Iterator
from typing import Final

from reranker.evaluation import Evaluation
from reranker.intervals import Difference

_HISTORIES: Final = {"": "own", ":stranger": "a stranger's", ":unpersonalised": "none"}


def report(
    result: Evaluation, bad_lines: int = 0, bad_judgments: int = 0, matched: int | None = None
) -> str:
    """The whole report: counts, metrics side by side, differences, a sentence each, what failed."""
    differences = result.differences or {next(iter(result.blends)): result.difference}
    lines = [*_counts(result, bad_lines, bad_judgments, matched), ""]
    for blend, difference in differences.items():
        lines += [*_table(result, blend, difference), ""]
    lines += [*_strangers(result), _basis(result), ""]
    for blend, difference in differences.items():
        metric = next(iter(difference))
        lines.append(f"{metric}: {verdict(blend, result.compared_with, difference[metric])}")
    return "\n".join([*lines, *_degraded(result)])


def verdict(blend: str, baseline: str, difference: Difference) -> str:
    """What the interval of the difference allows to say, in one sentence."""
    if difference.low is None or difference.high is None:
        return f"{difference.mean:+.3f}, but one shopper or query is too few for an interval."
    interval = f"{difference.low:.3f}..{difference.high:.3f}"
    if difference.p is not None and difference.p >= 0.05 and difference.low * difference.high > 0:
        return (
            f"at the edge: {difference.mean:+.3f}, interval {interval} leaves zero out, "
            f"but p is {difference.p:.3f}; more queries would tell."
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
    if result.leaks:
        yield (
            f"{result.leaks:,} requests refused: the model was trained on later events of their "
            "shoppers (--allow-leak takes them)"
        )
    blends = ", ".join(f"{name} version {version}" for name, version in result.blends.items())
    yield f"index {result.versions.get('index')}; {blends}"


def _table(result: Evaluation, blend: str, difference: dict[str, Difference]) -> list[str]:
    baseline = result.compared_with
    orders = list(dict.fromkeys(("engine", baseline, blend)))
    rows = [["", *orders, "difference", "95 % interval", "p"]]
    for metric, found in difference.items():
        values = [f"{result.metrics[order][metric]:.4f}" for order in orders]
        rows.append([metric, *values, f"{found.mean:+.4f}", _interval(found), _p(found)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _interval(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return "-"
    return f"{difference.low:+.4f} .. {difference.high:+.4f}"


def _p(difference: Difference) -> str:
    return "-" if difference.p is None else f"{difference.p:.4f}"


def _basis(result: Evaluation) -> str:
    gain = "the grade" if result.linear_gain else "2^grade - 1"
    units = f"{result.queries:,} queries"
    if result.shoppers is not None:
        units += f" of {result.shoppers:,} shoppers"
    return (
        f"difference: blend minus {result.compared_with}, query by query, over {units}; "
        f"gain {gain}; {result.seconds:.1f} s"
    )


def _degraded(result: Evaluation) -> list[str]:
    if not result.degraded:
        return []
    rows = [
        f"  {one.blend}: {one.signal} {one.reason} in {one.requests:,} requests "
        f"({one.candidates:,} candidates)"
        for one in result.degraded
    ]
    return ["", "degraded:", *rows]


def _strangers(result: Evaluation) -> list[str]:
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
