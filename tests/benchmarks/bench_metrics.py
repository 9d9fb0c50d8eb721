"""bench_metrics.py: what metrics, stages and request ids cost a request, in microseconds.

python tests/benchmarks/bench_metrics.py
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp())  # as with workers

from reranker.ranking.ranking import BlendName, Degraded, Ranked, Ranking
from reranker.requests import Candidate, RerankRequest
from reranker.runtime.budget import STAGES, Stages
from service.observability.prometheus import Metrics

TIMES = 3000
MISSING = ("behaviour", "repeat", "together", "near", "taste")


def microseconds(call: Callable[[], object]) -> float:
    """Median of many calls."""
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1e6)
    return statistics.median(taken)


def main() -> None:
    metrics = Metrics()
    asked = RerankRequest([Candidate(f"{number}") for number in range(100)], "red shoes")
    results = [Ranked(f"{number}", number, number + 1, 1.0 - number / 100) for number in range(100)]
    degraded = [Degraded(name, "no_history") for name in MISSING]
    ranking = Ranking(results, BlendName("default", 1), {}, degraded, gate=0.7)

    def clocks() -> Stages:
        stages = Stages()
        for name in STAGES:
            with stages(name):
                pass
        return stages

    timed = clocks()

    def counted() -> None:
        metrics.requests.labels("/rerank", 200).inc()
        metrics.seconds.labels("/rerank").observe(0.001)

    def observed_one_by_one() -> None:
        for name in STAGES:
            metrics.stages.labels(name).observe(0.001)

    costs = {
        "clocks of nine stages": microseconds(clocks),
        "what is known of a ranking": microseconds(
            lambda: metrics.note_ranking(asked, ranking, timed)
        ),
        "request and seconds, at once": microseconds(counted),
    }
    for name, cost in costs.items():
        print(f"{name:<30} {cost:6.1f} us")
    print(f"{'all of metrics':<30} {sum(costs.values()):6.1f} us a request")
    alone = microseconds(observed_one_by_one)
    print(f"{'nine stages one by one':<30} {alone:6.1f} us (not used)")
    metrics.note_ranking(asked, ranking, timed)
    print(f"{'writing, twice a second':<30} {microseconds(metrics.refresh):6.1f} us")


if __name__ == "__main__":
    main()
