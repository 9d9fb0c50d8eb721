"""figures.py: the service's Prometheus counters -> percentiles, rates, degraded counts."""

from collections import defaultdict
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from service.observability.prometheus import Metrics


@dataclass
class Figures:
    """Sums over all workers since they started."""

    events: dict[str, float] = field(default_factory=dict)
    requests: dict[tuple[str, str], float] = field(default_factory=dict)
    degraded: dict[tuple[str, str], float] = field(default_factory=dict)
    buckets: dict[str, dict[float, float]] = field(default_factory=dict)


def figures(metrics: Metrics) -> Figures:
    """What /metrics says, by its meaning."""
    sums = Figures(buckets=defaultdict(dict))
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            labels = sample.labels
            if sample.name == "reranker_events_total":
                sums.events[labels["outcome"]] = sample.value
            elif sample.name == "reranker_requests_total":
                sums.requests[labels["route"], labels["status"]] = sample.value
            elif sample.name == "reranker_degraded_total":
                sums.degraded[labels["signal"], labels["reason"]] = sample.value
            elif sample.name == "reranker_request_seconds_bucket":
                sums.buckets[labels["route"]][float(labels["le"])] = sample.value
    return sums


def percentile(buckets: dict[float, float], share: float) -> float | None:
    """Seconds, read within its bucket as if the requests were spread evenly there.

    None without a request, and the last bucket's beginning for what lies beyond all of them.
    """
    edges = sorted(buckets)
    total = buckets[edges[-1]] if edges else 0
    if not total:
        return None
    wanted, low, before = share * total, 0.0, 0.0
    for edge in edges:
        if buckets[edge] >= wanted:
            inside = buckets[edge] - before
            if edge == float("inf") or not inside:
                return low
            return low + (edge - low) * (wanted - before) / inside
        low, before = edge, buckets[edge]
    return low
