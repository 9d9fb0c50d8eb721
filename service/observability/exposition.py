"""exposition.py: the metrics of one process, or of all workers of one start -> what is read."""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from reranker.ranking.state import ServedState

MULTIPROCESS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"  # has to be set before this is imported
_PAGE_BYTES: Final = resource.getpagesize()

AskServed = Callable[[], ServedState]


def run_folder() -> Path | None:
    """The folder in which the workers of one start meet; None for a process on its own."""
    folder = os.environ.get(MULTIPROCESS_DIR)
    return Path(folder) if folder else None


def exposition(registry: CollectorRegistry, served: AskServed | None) -> bytes:
    """What Prometheus reads, summed over the workers that share a folder."""
    live = CollectorRegistry()
    if MULTIPROCESS_DIR in os.environ:
        multiprocess.MultiProcessCollector(live)  # type: ignore[no-untyped-call]
    else:
        live.register(registry)
    if served is not None:
        live.register(LiveVersions(served))
    return generate_latest(live)


class LiveVersions(Collector):
    """What answers now, as labels: only the live versions, so that they stay few."""

    def __init__(self, served: AskServed) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        state = self._served()
        blend = f"{state.published.name}@{state.published_version}"
        labels = {part: version or "none" for part, version in state.versions.items()}
        yield InfoMetricFamily(
            "reranker_versions", "Versions that answer now.", {**labels, "blend": blend}
        )


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0
