"""next_item.py: sequences, split in time -> how well what comes next is foreseen, by whom."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import numpy as np

from indexes.errors import Failure
from indexes.storage.arrays import Floats, Ints
from reranker.metrics.intervals import bootstrap_interval
from reranker.model.card import NONE
from reranker.model_selection.baselines import Score
from reranker.training.batches import Cases, cases_at
from reranker.training.data import TrainingData
from reranker.training.inference import TOP, blocks, ndcg_at_10, ranks
from reranker.training.sequences import Sequences

Split = Literal["leave-one-out", "time"]
METRICS: Final = ("hit@10", "ndcg@10", "mrr")
_TRAINED_SHARE: Final = 0.9  # of all events, in a time split
_HEAD: Final = 0.2  # the most frequent of the known items; the others are the tail
_LENGTHS: Final = ((1, 4), (5, 9), (10, 49), (50, None))
_RESAMPLES: Final = 1000


@dataclass(frozen=True, eq=False)
class Parts:
    """limits (s,): where each shopper's training part ends. What is asked comes at or after it."""

    limits: Ints
    cases: Cases
    left_out: int  # shoppers without a history, or without anything to foresee
    cutoff: float | None
    mask_seen: bool


class Interval(msgspec.Struct, frozen=True):
    """95 %, by the bootstrap over shoppers."""

    low: float
    high: float


class Segment(msgspec.Struct, frozen=True):
    """A kind of cases, and everyone's metrics on it."""

    users: int
    metrics: dict[str, dict[str, float]]


class NextItem(msgspec.Struct, frozen=True, kw_only=True):
    """The report. metrics: plain numbers by who foresees."""

    users: int
    items: int
    events: int
    left_out: int
    split: str
    seen_masked: bool
    known_items: int
    metrics: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, Interval]]
    segments: dict[str, Segment]
    models: dict[str, dict[str, Any]] = {}
    not_possible: dict[str, str] = {}


def split_parts(sequences: Sequences, split: Split) -> Parts:
    """Leave-one-out: each shopper's last item. Time: each one's first item after a moment.

    The moment is that before which 90 % of all events are.
    """
    if split == "leave-one-out":
        last = sequences.last_target_before(sequences.at[1:])
        limits = np.where(last == NONE, sequences.at[1:], last)
        targets, cutoff = last, None
    else:
        cutoff = float(np.quantile(sequences.times, _TRAINED_SHARE))
        limits = sequences.limits_at(cutoff)
        targets = sequences.first_target(limits, sequences.at[1:])
    positions = targets[(targets != NONE) & (limits > sequences.at[:-1])]
    if not len(positions):
        raise Failure(
            f"No shopper has both a history and an item after it ({split}).",
            hint="Give more events, or another --split.",
        )
    cases = cases_at(sequences, positions)
    # What is foreseen in a time split comes from the training part alone.
    cases = Cases(cases.shoppers, limits[cases.shoppers], cases.now, cases.targets)
    left_out = len(sequences) - len(positions)
    return Parts(limits, cases, left_out, cutoff, split == "leave-one-out")


def baseline_ranks(score: Score, sequences: Sequences, parts: Parts, items: int) -> Ints:
    """The rank of each case's item among the whole catalogue, by a baseline."""
    target_ranks = np.empty(len(parts.cases), np.int64)
    for part in blocks(len(parts.cases), items):
        chosen = np.arange(part.start, part.stop)
        cases = parts.cases.of(chosen)
        target_ranks[chosen] = ranks(score(cases), sequences, cases, parts.mask_seen)
    return target_ranks


def values(target_ranks: Ints) -> Floats:
    """METRICS of each case (n, 3)."""
    hit = (target_ranks <= TOP).astype(np.float64)
    return np.column_stack((hit, ndcg_at_10(target_ranks), 1.0 / target_ranks))


def report(
    data: TrainingData,
    parts: Parts,
    target_ranks: Mapping[str, Ints],
    split: Split,
    models: dict[str, dict[str, Any]],
    not_possible: dict[str, str],
) -> NextItem:
    """Everyone's ranks -> means, intervals and segments."""
    each = {name: values(measured) for name, measured in target_ranks.items()}
    return NextItem(
        users=len(parts.cases),
        items=len(data.catalogue.ids),
        events=len(data.sequences.items),
        left_out=parts.left_out,
        split=split,
        seen_masked=parts.mask_seen,
        known_items=len(data.seen),
        metrics={name: _means(measured) for name, measured in each.items()},
        intervals={name: _intervals(measured) for name, measured in each.items()},
        segments=_segments(data, parts.cases, each),
        models=models,
        not_possible=not_possible,
    )


def _means(measured: Floats) -> dict[str, float]:
    return dict(zip(METRICS, measured.mean(axis=0).tolist(), strict=True))


def _intervals(measured: Floats) -> dict[str, Interval]:
    if len(measured) < 2:
        return {}
    low, high = bootstrap_interval(measured, resamples=_RESAMPLES)
    pairs = zip(low.tolist(), high.tolist(), strict=True)
    return {name: Interval(*pair) for name, pair in zip(METRICS, pairs, strict=True)}


def _segments(data: TrainingData, cases: Cases, each: Mapping[str, Floats]) -> dict[str, Segment]:
    segments = {}
    for name, chosen in _kinds(data, cases):
        if chosen.any():
            means = {forecaster: _means(measured[chosen]) for forecaster, measured in each.items()}
            segments[name] = Segment(int(chosen.sum()), means)
    return segments


def _kinds(data: TrainingData, cases: Cases) -> Iterable[tuple[str, Any]]:
    """cold: never seen in training; head: the most frequent fifth of the known items."""
    counts = np.zeros(len(data.catalogue.ids), np.int64)
    counts[data.seen] = data.counts
    order = np.argsort(-data.counts, kind="stable")
    head = np.zeros(len(counts), bool)
    head[data.seen[order[: int(np.ceil(_HEAD * len(order)))]]] = True
    known, frequent = counts[cases.targets] > 0, head[cases.targets]
    yield "cold", ~known
    yield "tail", known & ~frequent
    yield "head", frequent
    lengths = cases.stops - data.sequences.at[cases.shoppers]
    for low, high in _LENGTHS:
        name = f"history {low}+" if high is None else f"history {low}-{high}"
        yield name, (lengths >= low) & (True if high is None else lengths <= high)
