"""tables.py: differences, queries and segments -> aligned rows, intervals drawn."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from reranker.evaluation.breakdown import SegmentResult
from reranker.evaluation.evaluate import Evaluation, by_blend
from reranker.evaluation.results import Moved
from reranker.metrics.intervals import Difference

Rows = list[list[str]]

_SHOWN: Final = 5  # most hurt and most helped queries that a person is shown
_QUERY: Final = 40  # characters of a query
_HALF: Final = 10  # characters on each side of zero in a drawing


def table(rows: Rows) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def difference_rows(result: Evaluation, blend: str) -> Rows:
    """Every metric of one blend beside the engine and the baseline."""
    differences = by_blend(result)[blend]
    proof = result.proofs.get(blend)
    comparison = proof.comparison if proof else result.comparison
    orders = list(dict.fromkeys(("engine", result.compared_with, blend)))
    p = "p (Holm)" if result.proofs else "p"
    rows = [["", *orders, "difference", "95 % interval", p, "d_z", "won-tied-lost", ""]]
    reach = _reach(differences.values())
    for metric, difference in differences.items():
        more = comparison[metric]
        rows.append(
            [
                metric,
                *(f"{result.metrics[order][metric]:.4f}" for order in orders),
                f"{difference.mean:+.4f}",
                interval_of(difference),
                _number(more.p_holm, ".4f"),
                _number(more.effect, "+.2f"),
                f"{more.wins}-{more.ties}-{more.losses}",
                drawn(difference, reach),
            ]
        )
    return rows


def judged_only_rows(result: Evaluation, blend: str) -> Rows:
    """The same metrics with the unjudged items left out; no row where all of them are judged."""
    orders = list(dict.fromkeys(("engine", result.compared_with, blend)))
    if min(result.judged_share[order] for order in orders) == 1.0:
        return []
    differences = result.judged_only_difference[blend]
    rows = [["judged items only", *orders, "difference", "95 % interval", ""]]
    reach = _reach(differences.values())
    for metric, difference in differences.items():
        rows.append(
            [
                metric,
                *(f"{result.judged_only[order][metric]:.4f}" for order in orders),
                f"{difference.mean:+.4f}",
                interval_of(difference),
                drawn(difference, reach),
            ]
        )
    shares = [f"{result.judged_share[order]:.1%}" for order in orders]
    return [*rows, ["judged of the first 10", *shares, "", "", ""]]


def segment_rows(metric: str, orders: tuple[str, str], segments: Sequence[SegmentResult]) -> Rows:
    """Every segment by one metric."""
    rows = [[f"segments, {metric}", "queries", *orders, "difference", "95 % interval", ""]]
    reach = _reach(segment.difference[metric] for segment in segments)
    for segment in segments:
        difference = segment.difference[metric]
        rows.append(
            [
                f"{'* ' if segment.worst else '  '}{segment.segment}",
                f"{segment.queries:,}",
                *(f"{segment.metrics[order][metric]:.4f}" for order in orders),
                f"{difference.mean:+.4f}",
                interval_of(difference),
                drawn(difference, reach),
            ]
        )
    return rows


def moved_rows(title: str, orders: tuple[str, str], moved: Sequence[Moved]) -> Rows:
    """The first few queries."""
    rows = [[title, *orders, "difference"]]
    for move in moved[:_SHOWN]:
        name = f"  {move.id}: {move.query}" if move.id != move.query else f"  {move.query}"
        rows.append([_cut(name), f"{move.before:.4f}", f"{move.after:.4f}", f"{move.delta:+.4f}"])
    return rows


def interval_of(difference: Difference) -> str:
    """Both ends, or a dash."""
    if difference.low is None or difference.high is None:
        return "-"
    return f"{difference.low:+.4f} .. {difference.high:+.4f}"


def drawn(difference: Difference, reach: float) -> str:
    """The interval on a line from -reach to reach: `[` and `]` its ends, `o` the mean, `|` zero."""
    line = [" "] * (2 * _HALF + 1)

    def at(value: float) -> int:
        # away from zero, so that only what is 0 stands there
        steps = math.ceil(min(1.0, abs(value) / reach) * _HALF - 1e-9)
        return _HALF + (steps if value > 0 else -steps)

    ends = [at(end) for end in (difference.low, difference.high) if end is not None]
    if ends:
        line[ends[0] : ends[-1] + 1] = "-" * (ends[-1] + 1 - ends[0])
    line[_HALF] = "|"
    for place, mark in zip(ends, "[]", strict=False):
        line[place] = mark
    line[at(difference.mean)] = "o"
    return "".join(line)


def _reach(differences: Iterable[Difference]) -> float:
    """How far a drawing has to go, so that all of them can be held against each other."""
    ends = [
        abs(end)
        for apart in differences
        for end in (apart.mean, apart.low, apart.high)
        if end is not None
    ]
    return max(ends, default=0.0) or 1.0


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _cut(text: str) -> str:
    """One line of at most _QUERY characters: a query may hold anything."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= _QUERY else f"{line[: _QUERY - 3]}..."
