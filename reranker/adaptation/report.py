"""report.py: NDCG@10 before and after -> what an adapted encoder is worth, and if it is offered."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from indexes.items.words import folded
from reranker.adaptation.questions import Question, Source
from reranker.metrics.intervals import Difference, paired_differences

TOLERANCE: Final = 0.003  # what queries made of the catalogue may lose where others are learned
_HEAD: Final = 0.5  # share of all times asked that the commonest queries have


class Gain(msgspec.Struct, frozen=True):
    """Mean NDCG@10 by text alone of so many queries that nothing was learned from."""

    queries: int
    before: float
    after: float
    difference: Difference


class AdaptReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an adaptation.

    gains: by "all", by source, "head" and "tail" (the commonest queries, which have half of all
    searches, and the others), beside the encoder in use. of_original: the same beside the model of
    the settings; None where that is in use. general: queries made of the catalogue, beside the
    model of the settings, where nothing was learned from such; None where all was. offered: whether
    it may be published; reason: why not. version: of the encoder on the disk; None where it is not
    offered.
    """

    base: str
    learned: dict[str, int]  # queries, by source
    chosen: int
    tuned: dict[str, Any]
    gains: dict[str, Gain]
    general: Gain | None
    of_original: dict[str, Gain] | None = None
    offered: bool
    reason: str | None
    version: str | None = None
    published: bool = False


def gain_of(before: Sequence[float], after: Sequence[float], queries: Sequence[str]) -> Gain:
    """Queries that differ by case or accents only count as one when the interval is drawn."""
    then, now = np.asarray(before), np.asarray(after)
    [difference] = paired_differences((now - then)[:, None], [folded(query) for query in queries])
    return Gain(len(then), float(then.mean()), float(now.mean()), difference)


def gains_of(
    questions: Sequence[Question], before: Sequence[float], after: Sequence[float]
) -> dict[str, Gain]:
    """By group; a group without a query is left out."""
    head = _head(questions)
    groups: Mapping[str, list[int]] = {
        "all": list(range(len(questions))),
        **{
            source: [n for n, question in enumerate(questions) if question.source == source]
            for source in sorted({question.source for question in questions})
        },
        "head": sorted(head),
        "tail": [n for n in range(len(questions)) if head and n not in head],
    }
    return {
        name: gain_of(
            [before[n] for n in members],
            [after[n] for n in members],
            [questions[n].query for n in members],
        )
        for name, members in groups.items()
        if members
    }


def refusal(share: float, gain: Gain | None, general: Gain | None) -> str | None:
    """Why an adapted encoder is not offered; None where it is."""
    if share == 0 or gain is None:
        return "on the queries that choose, the encoder as it was is the best"
    if gain.difference.low is None or gain.difference.low <= 0:
        return (
            f"on {gain.queries:,} queries held out it is not proved better: NDCG@10 by text alone "
            f"{_shown(gain.difference)}"
        )
    if general is not None and general.difference.mean < -TOLERANCE:
        return (
            f"{general.queries:,} queries made of the catalogue lose {_shown(general.difference)}, "
            f"and at most {TOLERANCE} may be lost"
        )
    return None


def _shown(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return f"{difference.mean:+.4f}"
    return f"{difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"


def _head(questions: Sequence[Question]) -> set[int]:
    """The commonest queries, which together have half of the times asked; none where all are asked
    equally often."""
    times = [question.times for question in questions]
    if not times or min(times) == max(times):
        return set()
    order = sorted(range(len(times)), key=lambda n: -times[n])
    before = np.cumsum([0, *(times[n] for n in order)])
    return {n for place, n in enumerate(order) if before[place] < _HEAD * sum(times)}


def by_source(questions: Sequence[Question]) -> dict[str, int]:
    """How many questions of each source there are."""
    counts: dict[Source, int] = {}
    for question in questions:
        counts[question.source] = counts.get(question.source, 0) + 1
    return {str(source): count for source, count in counts.items()}
