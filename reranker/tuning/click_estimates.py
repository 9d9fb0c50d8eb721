"""click_estimates.py: held-out requests with clicks -> what each order would have had: estimates.

A metric of clicks on the list that was shown favours that list. So a blend that was tuned on clicks
is judged by clipped inverse propensity scoring (off_policy.py), among the items that were shown.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from indexes.storage.arrays import Ints
from reranker.evaluation.requests import rerank_request
from reranker.evaluation.results import ENGINE, Ranker
from reranker.feedback.click_models import Examination
from reranker.feedback.off_policy import EstimateReport, LoggedClicks, estimate
from reranker.tuning.columns import JudgedColumns

CURVES: Final = 20  # fitted anew to shoppers drawn again
NOTE: Final = (
    "An estimate from logged clicks, not a measurement: it holds as far as positions and signals "
    "explain the clicks, and ranks only what was shown. A test with shoppers decides."
)


def add_clicks(logged: LoggedClicks, judged: JudgedColumns, rankers: Mapping[str, Ranker]) -> None:
    """One request with clicks, and where the engine and each ranker put what was shown."""
    shown = judged.request.shown or []
    clicked = [item for item in shown if judged.request.ratings.get(item, 0.0) > 0]
    request = rerank_request(judged.request)
    orders = {
        name: [result.id for result in ranker(request).results] for name, ranker in rankers.items()
    }
    orders[ENGINE] = [candidate.id for candidate in request.candidates]
    seen = set(shown)
    among = {name: [item for item in order if item in seen] for name, order in orders.items()}
    logged.add(judged.unit, shown, clicked, among)


def estimated(
    logged: LoggedClicks,
    examination: Examination,
    curves: Sequence[Examination],
    compare: str,
    resamples: int,
    level: float,
) -> EstimateReport | None:
    """What the first order would have had, and the others; None where nothing was clicked."""
    if not logged.position:
        return None
    return estimate(
        logged,
        examination,
        compare=compare,
        resamples=resamples,
        curves=curves,
        level=level,
        note=NOTE,
    )


def drawn_requests(requests: Sequence[JudgedColumns], clicked: Ints, seed: int) -> Ints:
    """Numbers of the clicked requests of as many shoppers, drawn with replacement."""
    of_unit: dict[str, list[int]] = {}
    for number in clicked.tolist():
        of_unit.setdefault(requests[number].unit, []).append(number)
    units = list(of_unit.values())
    drawn = np.random.default_rng(seed).integers(0, len(units), len(units))
    return np.array([number for unit in drawn.tolist() for number in units[unit]], np.int64)
