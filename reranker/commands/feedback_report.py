"""feedback_report.py: what `reranker requests` found -> text for people, JSON for programs."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from indexes.errors import Failure
from reranker.commands.feedback_options import Joined
from reranker.feedback.click_models import ClickModel, Examination
from reranker.feedback.joins import JoinCounts
from reranker.feedback.off_policy import EstimateReport


def counts_of(join: Joined) -> dict[str, Any]:
    """Every count of the join."""
    counts = {**msgspec.to_builtins(join.counts), "bad_lines": join.bad.count}
    warnings = [*join.warnings, *_of_other_ids(join.counts)]
    return counts | ({"warnings": warnings} if warnings else {})


def shown_curve(model: ClickModel) -> str:
    """The curve, drawn; far positions thinned out."""
    curve = model.examination.by_position.tolist()
    rows: Iterable[tuple[int, float]] = enumerate(curve, 1)
    lines = [
        f"  {place:>8}  {chance:>11.3f}  {'#' * round(40 * chance)}".rstrip()
        for place, chance in rows
        if place <= 10 or place % 10 == 0 or place == len(curve)
    ]
    basis = f"Estimated from {model.telling_pairs:,} (query, item) pairs seen at several positions."
    return "\n".join(["  position  examination", *lines, basis])


def shown_estimate(report: EstimateReport) -> str:
    """What was observed, then every order's estimate, then the difference."""
    lines = [f"{report.action}s per ranking  (estimates, 95 % intervals over shoppers)"]
    observed = report.observed
    lines.append(
        f"  {'observed':<16}{observed.value:.4f}  {observed.low:.4f} .. {observed.high:.4f}"
    )
    for name, order in report.orders.items():
        clicks = order.clicks
        lines.append(
            f"  {name:<16}{clicks.value:.4f}  {clicks.low:.4f} .. {clicks.high:.4f}   "
            f"effective clicks {order.effective_clicks:,.0f}, "
            f"never shown {order.never_shown:.1%} of its pages, ips {order.ips:.4f}"
        )
    change, first = report.difference, next(iter(report.orders))
    lines.append(
        f"{first} - {report.compared_with}: {change.value:+.4f} "
        f"({change.low:+.4f} .. {change.high:+.4f}); {report.clipped:.1%} of "
        f"{report.clicks:,} clicks clipped at {report.clip:g}"
    )
    return "\n".join([*lines, report.note])


def table(head: str, join: Joined) -> str:
    """The result, and the counts behind it that are not 0."""
    warnings = [f"  warning: {warning}" for warning in _of_other_ids(join.counts)]
    return "\n".join([head, *_count_lines(join.counts, join.bad.count), *warnings])


def _of_other_ids(counts: JoinCounts) -> Iterator[str]:
    """Most events name rankings in which their item is not: then ids are not the same."""
    if counts.events_of_items_not_shown > counts.events_by_id:
        yield (
            f"{counts.events_of_items_not_shown:,} events name a ranking that did not show their "
            "item: do rankings and events use the same ids? OpenSearch's UBI notes document "
            "numbers unless ext.ubi.object_id_field is set (docs/importing-logs.md)"
        )


def _count_lines(counts: JoinCounts, bad: int) -> Iterator[str]:
    for name, count in {**msgspec.to_builtins(counts), "bad_lines": bad}.items():
        if count or name in ("rankings", "joined"):
            yield f"  {name.replace('_', ' '):<28}{count:>12,}"


class _Curve(msgspec.Struct):
    examination: list[float]


def curve_of(model: ClickModel) -> dict[str, Any]:
    """The curve and what it rests on: what `--positions` reads."""
    return {
        "examination": model.examination.by_position.round(6).tolist(),
        "impressions": model.shown.astype(int).tolist(),
        "clicks": model.clicked.astype(int).tolist(),
        "telling_pairs": model.telling_pairs,
        "rounds": model.rounds,
    }


def read_positions(path: Path) -> Examination:
    """The curve of a file; Failure when it is none."""
    try:
        curve = msgspec.json.decode(path.read_bytes(), type=_Curve).examination
    except msgspec.DecodeError as error:
        raise Failure(
            f"{path} is no curve of positions: {error}.",
            hint="`reranker requests positions --out FILE` writes one.",
        ) from None
    if not curve or not all(0 <= chance <= 1 for chance in curve):
        raise Failure(f"{path}: examination has to hold numbers from 0 to 1, at least one.")
    return Examination(np.array(curve))
