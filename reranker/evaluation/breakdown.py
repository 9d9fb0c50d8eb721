"""breakdown.py: results of single queries -> what each blend did, beyond the mean difference."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

import msgspec

from indexes.storage.arrays import Mask
from reranker.evaluation.aggregate import Aggregate
from reranker.evaluation.results import Extremes, Moved, QueryResult
from reranker.evaluation.slices import RequestSegments
from reranker.metrics.intervals import Difference, paired_differences
from reranker.metrics.significance import Comparison, comparisons, holm

# Segments need no third decimal of their p, and there are a dozen of them.
_RESAMPLES: Final = 2000
_ENOUGH: Final = 10  # queries without which a segment is not called the worst


class SegmentResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One kind of request on its own. metrics: of the baseline and of the blend.

    worst: the lowest mean difference in the first metric, of all segments of at least 10 queries.
    below: whether the whole interval of that metric lies below the baseline.
    """

    kind: str
    segment: str
    queries: int
    metrics: dict[str, dict[str, float]]
    difference: dict[str, Difference]
    worst: bool = False
    below: bool = False


class Proof(msgspec.Struct, frozen=True):
    """One blend against the baseline. hurt, helped: by the first metric, the most changed first."""

    comparison: dict[str, Comparison]
    hurt: list[Moved]
    helped: list[Moved]
    segments: list[SegmentResult]


@dataclass
class Breakdown:
    """Collects what the proofs of several blends against one baseline need."""

    blends: Sequence[str]
    baseline: str
    metric: str
    _extremes: dict[str, Extremes] = field(init=False)
    _segments: RequestSegments = field(default_factory=RequestSegments)

    def __post_init__(self) -> None:
        self._extremes = {
            blend: Extremes(self.metric, blend, self.baseline) for blend in self.blends
        }

    def add(self, result: QueryResult) -> None:
        """Look at one request."""
        self._segments.add(result.query, None if result.left_out else result.facts)
        if not result.left_out:
            for extremes in self._extremes.values():
                extremes.add(result)

    def of(
        self,
        aggregate: Aggregate,
        differences: Mapping[str, Mapping[str, Difference]],
        resamples: int,
        seed: int,
    ) -> dict[str, Proof]:
        """The proof of each blend. differences: by blend and metric."""
        corrected = _holm_by_metric(differences, aggregate.metric_names)
        members = self._segments.members()
        by_blend = {}
        for place, (blend, extremes) in enumerate(self._extremes.items()):
            apart = aggregate.values(blend) - aggregate.values(self.baseline)
            ps = [corrected[metric][place] for metric in aggregate.metric_names]
            by_blend[blend] = Proof(
                comparison=dict(
                    zip(aggregate.metric_names, comparisons(apart, ps), strict=True),
                ),
                hurt=extremes.hurt,
                helped=extremes.helped,
                segments=_segment_results(
                    members, aggregate, blend, self.baseline, min(resamples, _RESAMPLES), seed
                ),
            )
        return by_blend


def _holm_by_metric(
    differences: Mapping[str, Mapping[str, Difference]], metrics: Iterable[str]
) -> dict[str, list[float | None]]:
    blends = differences.values()
    return {metric: holm([difference[metric].p for difference in blends]) for metric in metrics}


def _segment_results(
    members: Mapping[tuple[str, str], Mask],
    aggregate: Aggregate,
    blend: str,
    baseline: str,
    resamples: int,
    seed: int,
) -> list[SegmentResult]:
    orders = {order: aggregate.values(order) for order in (baseline, blend)}
    apart = orders[blend] - orders[baseline]
    results = []
    for (kind, name), mask in members.items():
        clusters = aggregate.clusters and list(compress(aggregate.clusters, mask))
        difference = paired_differences(apart[mask], clusters, resamples, seed)
        results.append(
            SegmentResult(
                kind=kind,
                segment=name,
                queries=int(mask.sum()),
                metrics={
                    order: _named(aggregate, values[mask].mean(axis=0).tolist())
                    for order, values in orders.items()
                },
                difference=dict(zip(aggregate.metric_names, difference, strict=True)),
            )
        )
    return _marked(results, aggregate.metric_names[0])


def _named(aggregate: Aggregate, means: list[float]) -> dict[str, float]:
    return dict(zip(aggregate.metric_names, means, strict=True))


def _marked(segments: list[SegmentResult], metric: str) -> list[SegmentResult]:
    """The same, with the worst marked, and those that are below the baseline for sure."""
    enough = [segment for segment in segments if segment.queries >= _ENOUGH]
    worst = min(enough, key=lambda segment: segment.difference[metric].mean, default=None)
    return [
        msgspec.structs.replace(
            segment, worst=segment is worst, below=_below(segment.difference[metric])
        )
        for segment in segments
    ]


def _below(difference: Difference) -> bool:
    return difference.high is not None and difference.high < 0
