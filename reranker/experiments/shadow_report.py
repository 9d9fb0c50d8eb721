"""shadow_report.py: logged shadow rankings and the clicks after them -> how the shadows differ."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np

from reranker.experiments.shadow_files import ShadowLine
from reranker.metrics.rank_correlation import Agreement, agreement


class ShadowSummary(msgspec.Struct, frozen=True):
    """Means over the rankings that both gave. first_changed: share with another first item.

    clicked_served, clicked_shadow: the mean place (from 1) of what was clicked, in both orders.
    Clicks prefer what was on top, so the served order looks better than it is."""

    served: str
    shadow: str
    rankings: int
    overlap: float
    tau: float
    displacement: float
    first_changed: float
    clicks: int = 0
    clicked_served: float | None = None
    clicked_shadow: float | None = None


def summaries(
    lines: Iterable[ShadowLine], clicked: dict[str, list[int]] | None = None
) -> list[ShadowSummary]:
    """One for each pair of served and shadow blend. clicked: by ranking, places in the engine's
    list of what was clicked."""
    agreements: dict[tuple[str, str], list[Agreement]] = {}
    places: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for line in lines:
        for label, order in line.orders.items():
            measured = agreement(line.served, order)
            if measured is not None:
                agreements.setdefault((line.blend, label), []).append(measured)
                pairs = _places(line, order, (clicked or {}).get(line.id, []))
                places.setdefault((line.blend, label), []).extend(pairs)
    return [_summary(*pair, of_pair, places[pair]) for pair, of_pair in sorted(agreements.items())]


def _places(line: ShadowLine, order: list[int], clicked: list[int]) -> Iterator[tuple[int, int]]:
    for candidate in clicked:
        if candidate in line.served:
            place = order.index(candidate) if candidate in order else len(order)
            yield line.served.index(candidate) + 1, place + 1


def _summary(
    served: str, shadow: str, agreements: list[Agreement], places: list[tuple[int, int]]
) -> ShadowSummary:
    columns = np.array(
        [(pair.overlap, pair.tau, pair.displacement, pair.same_first) for pair in agreements]
    )
    overlap, tau, displacement, same = columns.mean(axis=0).tolist()
    before, after = np.array(places, dtype=float).mean(axis=0) if places else (None, None)
    return ShadowSummary(
        served,
        shadow,
        len(agreements),
        overlap,
        tau,
        displacement,
        1.0 - same,
        len(places),
        None if before is None else float(before),
        None if after is None else float(after),
    )


def shown_summaries(shadows: list[ShadowSummary]) -> str:
    """For people."""
    lines: list[str] = []
    for summary in shadows:
        lines.append(f"{summary.shadow} beside {summary.served}, {summary.rankings:,} rankings")
        lines.append(f"  the same in the first ten   {summary.overlap:.1%}")
        lines.append(f"  another first item          {summary.first_changed:.1%}")
        lines.append(f"  Kendall's tau               {summary.tau:+.3f}")
        lines.append(f"  moved by                    {summary.displacement:.1f} places")
        if summary.clicks:
            lines.append(
                f"  {summary.clicks:,} clicks: mean place   "
                f"{summary.clicked_served:.1f} as served, {summary.clicked_shadow:.1f} here"
            )
    hint = "Clicks without position bias: `reranker requests estimate --blend NAME`."
    return "\n".join([*lines, hint]) if lines else "No shadow ranking is logged yet."


def as_rows(shadows: list[ShadowSummary]) -> list[dict[str, Any]]:
    """For programs."""
    return [msgspec.to_builtins(summary) for summary in shadows]
