"""drift.py: rankings as they are answered -> how far they are from those of when the blend was new.

Of each ranking three numbers of its first page (ten results) are kept: `margin`, the score of the
first minus that of the second; `spread`, the first minus the last of the page; `displacement`, the
mean of how far its items came from their places in the engine's order. The first BASELINE rankings
of a blend's version are its baseline, kept in <home>/drift/; the newest WINDOW are held against
it by the population stability index over the baseline's deciles:

    PSI = sum over bins of (recent - baseline) x ln(recent / baseline)

Below 0.1 is calm, 0.1 to 0.25 a change worth a look, above 0.25 another distribution.
"""

import logging
import os
import threading
from collections import deque
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexes.storage import durable
from reranker.ranking.ranking import Ranking

log = logging.getLogger("reranker")

FEATURES: Final = ("margin", "spread", "displacement")
BASELINE: Final = 1000
WINDOW: Final = 1000
_PAGE: Final = 10
_BINS: Final = 10
_FLOOR: Final = 1e-3  # share of a bin without any, so that its logarithm is finite
_FOLDER: Final = "drift"

Counts = npt.NDArray[np.float64]


class Baseline(msgspec.Struct, frozen=True):
    """edges: inner bounds of the bins of each feature; shares: of the rankings in each bin."""

    blend: str
    rankings: int
    edges: dict[str, list[float]]
    shares: dict[str, list[float]]


def features_of(ranking: Ranking) -> tuple[float, float, float] | None:
    """margin, spread and displacement of a ranking; None where there is no order to speak of."""
    page = ranking.results[:_PAGE]
    if len(page) < 2:
        return None
    first = page[0].score
    moved = sum(abs(ranked.index + 1 - ranked.rank) for ranked in page) / len(page)
    return first - page[1].score, first - page[-1].score, moved


def baseline_of(blend: str, rows: list[tuple[float, float, float]]) -> Baseline:
    """The deciles of these rankings."""
    edges, shares = {}, {}
    for name, values in zip(FEATURES, np.array(rows).T, strict=True):
        inner = np.unique(np.quantile(values, np.arange(1, _BINS) / _BINS))
        edges[name] = inner.tolist()
        shares[name] = _shares(values, inner).tolist()
    return Baseline(blend, len(rows), edges, shares)


def stability(baseline: Baseline, rows: list[tuple[float, float, float]]) -> dict[str, float]:
    """The population stability index of each feature."""
    by_feature = {}
    for name, values in zip(FEATURES, np.array(rows).T, strict=True):
        before = np.maximum(np.array(baseline.shares[name]), _FLOOR)
        recent = np.maximum(_shares(values, np.array(baseline.edges[name])), _FLOOR)
        by_feature[name] = float(np.sum((recent - before) * np.log(recent / before)))
    return by_feature


def _shares(values: Counts, edges: Counts) -> Counts:
    places = np.searchsorted(edges, values, side="left")
    return np.bincount(places, minlength=len(edges) + 1) / len(values)


class Drift:
    """The drift of the blend that one process serves. home: None keeps no file."""

    def __init__(self, home: Path | None, baseline: int = BASELINE, window: int = WINDOW) -> None:
        self._folder = None if home is None else home / _FOLDER
        self._wanted, self._least = baseline, max(window // 4, 1)
        self._rows: deque[tuple[float, float, float]] = deque(maxlen=max(baseline, window))
        self._window = window
        self._blend = ""
        self._baseline: Baseline | None = None
        self._lock = threading.Lock()

    def add(self, ranking: Ranking) -> None:
        """Note a ranking of the published blend; a microsecond or two."""
        row = features_of(ranking)
        if row is None:
            return
        label = f"{ranking.blend.name}@{ranking.blend.version}"
        if label != self._blend:
            self._begin(label)
        self._rows.append(row)

    def values(self) -> dict[str, float]:
        """Each feature's drift now; empty until there is a baseline and a quarter of a window."""
        with self._lock:
            rows = list(self._rows)
            if self._baseline is None:
                if len(rows) < self._wanted:
                    self._baseline = self._read()  # another process may have been faster
                else:
                    self._baseline = self._baseline_of(rows[: self._wanted])
                    self._rows.clear()
                    rows = []
            recent = rows[-self._window :]
            if self._baseline is None or len(recent) < self._least:
                return {}
            return stability(self._baseline, recent)

    def _begin(self, label: str) -> None:
        with self._lock:
            if label != self._blend:
                self._blend, self._baseline = label, None
                self._rows.clear()

    def _path(self) -> Path | None:
        return None if self._folder is None else self._folder / f"{self._blend}.json"

    def _read(self) -> Baseline | None:
        path = self._path()
        try:
            return None if path is None else msgspec.json.decode(path.read_bytes(), type=Baseline)
        except (OSError, msgspec.DecodeError):
            return None

    def _baseline_of(self, rows: list[tuple[float, float, float]]) -> Baseline:
        published = self._read()
        if published is not None:
            return published
        baseline = baseline_of(self._blend, rows)
        path = self._path()
        if path is not None:
            try:
                durable.make_own_folder(path.parent)
                durable.replace_synced(path, msgspec.json.encode(baseline), durable.OWN_FILE)
            except OSError as error:  # a read-only home: this process' own baseline then
                log.warning("the baseline of scores is not kept: %s", os.strerror(error.errno or 0))
        return baseline
