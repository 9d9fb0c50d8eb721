"""columns.py: judged requests -> their signals, computed once, for trying many blends.

The signals are those of the main path; only what follows them, the weighing, is repeated.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from indexes.items.words import folded
from indexes.storage.arrays import Ints, Mask, Values
from reranker.blends.blend import Blend
from reranker.blends.gate import gate_features
from reranker.evaluation.requests import rerank_request
from reranker.metrics.ranking import grades_of, has_ideal
from reranker.ranking.ranking import context_features
from reranker.ranking.scoring import scored
from reranker.ranking.state import ServedState
from reranker.requests import JudgedRequest
from reranker.signals.columns import Column
from reranker.signals.context import RankingContext
from reranker.signals.registry import SIGNALS, Columns, compute

_NONE: Final[Mapping[str, float]] = {}


@dataclass(frozen=True, eq=False)
class JudgedColumns:
    """One request: what each signal says of its candidates, and how good they are.

    grades: (n,) of the candidates. ratings: of all rated items. gate: what gates read.
    positions: (n,) from 0 where each was shown, -1 for one that was not; None where grades are
    judgments. Candidates that nobody saw have no row in a fit.
    """

    request: JudgedRequest
    columns: Columns
    grades: Values
    ratings: Values
    gate: Mapping[str, float]
    context: Mapping[str, float]
    positions: Ints | None = None

    @property
    def unit(self) -> str:
        """Whom it belongs to: requests of one shopper, else of one query, stay together."""
        shopper = self.request.user or self.request.session
        return f"user {shopper}" if shopper else f"query {folded(self.request.query)}"

    @property
    def rows(self) -> Mask:
        """Which candidates (n,) have a row in a fit."""
        if self.positions is None:
            return np.ones(len(self.grades), bool)
        return np.asarray(self.positions >= 0)

    def gate_of(self, blend: Blend) -> float:
        """How much personal signals count in this blend."""
        return blend.gate.value(dict(self.gate)) if blend.gate and self.gate else 1.0

    def order(
        self, blend: Blend, weights: Mapping[str, float] = _NONE
    ) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Candidates, best first, by the scores alone: without guard rails and diversity.

        weights: multipliers of the blend's, by signal, as a request may send them.
        """
        scores, _ = scored(
            blend,
            self.columns,
            weights,
            len(self.grades),
            self.gate_of(blend),
            self.context,
            explained=False,
        )
        return np.argsort(-scores, kind="stable")


def judged_columns(
    requests: Iterable[JudgedRequest],
    state: ServedState,
    signals: Iterable[str],
    done: Callable[[int], object] = lambda _n: None,
) -> tuple[list[JudgedColumns], int]:
    """Each request that some order of is better than another, and how many are not such."""
    columns, left_out = [], 0
    names = list(signals)
    for judged in requests:
        done(1)
        ratings = np.array(list(judged.ratings.values()), dtype=np.float64)
        if has_ideal(ratings):
            columns.append(_columns_of(judged, ratings, state, names))
        else:
            left_out += 1
    return columns, left_out


def _columns_of(
    judged: JudgedRequest, ratings: Values, state: ServedState, names: list[str]
) -> JudgedColumns:
    request = rerank_request(judged)
    context = RankingContext(
        request,
        state.index,
        state.query_vectors,
        state.text_limit,
        personal=state.personal,
        towers=state.towers,
    )
    columns = compute(context, names)
    personal = any(
        SIGNALS[name].personal and isinstance(column, Column) for name, column in columns.items()
    )
    return JudgedColumns(
        request=judged,
        columns=columns,
        grades=grades_of(context.ids, judged.ratings),
        ratings=ratings,
        gate=gate_features(context) if personal else {},
        context=context_features(context),
        positions=_positions(context.ids, judged.shown),
    )


def _positions(ids: list[str], shown: list[str] | None) -> Ints | None:
    if shown is None:
        return None
    places = {item: place for place, item in enumerate(shown)}
    return np.array([places.get(item, -1) for item in ids], np.int64)
