"""click_judgments.py: click counts -> how attractive each item is for each query, as judgments.

Estimates, not judgments of people: clicks per impression, or with a click model clicks per look.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from indexes.storage.arrays import Floats
from indexes.storage.durable import replace_synced
from reranker.feedback.click_counts import MAX_POSITIONS, ClickCounts, sums
from reranker.feedback.click_models import Examination

SCALE = 3.0
MIN_IMPRESSIONS = 10
_PRIOR = 1.0  # looks (or impressions) at the mean rate that every pair is given beforehand


class ClickJudgment(NamedTuple):
    """An estimate: attractiveness times the scale, and what it rests on."""

    query: str
    docid: str
    rating: float
    impressions: int
    clicks: int


def attractiveness(looks: Floats, clicks: Floats) -> Floats:
    """Clicks per look of every pair, drawn to the mean of all by one look."""
    mean = float(clicks.sum() / max(looks.sum(), 1e-12))
    rate: Floats = (clicks + _PRIOR * mean) / (looks + _PRIOR)
    return np.minimum(rate, 1.0)


def click_judgments(
    counts: ClickCounts,
    examination: Examination | None,
    min_impressions: int = MIN_IMPRESSIONS,
    scale: float = SCALE,
) -> Iterator[ClickJudgment]:
    """One for each pair with enough impressions; without an examination clicks are not corrected.

    Corrected: an impression counts as many looks as its position is examined.
    """
    pair, position, shown, clicked = counts.columns()
    looks = shown if examination is None else shown * examination.at(position, MAX_POSITIONS)
    impressions, examined, clicks = (
        sums(pair, column, len(counts.pairs)) for column in (shown, looks, clicked)
    )
    rate = attractiveness(examined, clicks)
    for number, (query, item) in enumerate(counts.pairs):
        if impressions[number] >= min_impressions:
            rating = round(scale * float(rate[number]), 4)
            yield ClickJudgment(query, item, rating, int(impressions[number]), int(clicks[number]))


def write_judgments(path: Path, judgments: list[ClickJudgment], with_counts: bool) -> None:
    """Quepid's `query,docid,rating`, and with counts `impressions,clicks` behind it."""
    columns = len(ClickJudgment._fields) if with_counts else 3
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ClickJudgment._fields[:columns])
    writer.writerows(judgment[:columns] for judgment in judgments)
    replace_synced(path, text.getvalue().encode())
