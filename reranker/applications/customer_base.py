"""customer_base.py: every customer -> who may leave, what is at risk, what recommendations reach.

Figures of groups alone: no row of a customer is written. Each part is kept in <home>/customers with
what it was made of, and is worked out anew only where that has changed.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from indexes.errors import Failure
from indexes.progress import Progress, bars
from indexes.storage.arrays import Floats, Mask
from indexes.storage.durable import make_own_folder, write_whole
from indexes.workspace import Workspace
from reranker.applications.churn.churn import ChurnCard, after, iso, load_churn
from reranker.applications.churn.churn_evaluation import (
    TooFewPurchases,
    calibration,
    prepared,
    rolling,
)
from reranker.applications.churn.churn_examples import ChurnEvents, inputs_at
from reranker.applications.churn.churn_models import candidates, probabilities
from reranker.applications.churn.churn_publishing import stored_events
from reranker.applications.recommendations.candidates import CatalogueLists
from reranker.applications.recommendations.recommend import recommend
from reranker.applications.recommendations.wishes import Wish
from reranker.histories.histories import Histories
from reranker.metrics.classification import calibration_error
from reranker.metrics.coverage import coverage, gini
from reranker.ranking.state import ServedState
from reranker.requests import RerankRequest

FOLDER: Final = "customers"
USERS: Final = 20_000  # shoppers, evenly spread, to whom is recommended
TOP_N: Final = 20
RISKS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)  # ends of the bands of risk
THIRDS: Final = ("low", "middle", "high")  # of customers by what they spend
_BINS: Final = 20
_MOST: Final = 10  # items that are named
_FORMAT: Final = 1
_NO_MODEL: Final = "No model is served: `reranker train` makes one."
_NO_CHURN: Final = (
    "The model has no part that foresees churn: when it was trained, too few purchases were kept, "
    "or over too short a time. Import more, and run `reranker train` again."
)
Basis = dict[str, str | float | None]


class Bin(msgspec.Struct, frozen=True):
    """Customers whose chance of leaving is in this range."""

    low: float
    high: float
    customers: int


class Segment(msgspec.Struct, frozen=True):
    """Customers of one third by value and one band of risk.

    at_risk: the sum over them of the chance x what they spend in as many days.
    """

    value: str
    low: float
    high: float
    customers: int
    at_risk: float


class CalibrationBin(msgspec.Struct, frozen=True):
    """Of examples that were foreseen alike, the mean chance and the share that left."""

    examples: int
    foreseen: float
    observed: float


class Calibrated(msgspec.Struct, frozen=True):
    """The published kind of model, fitted anew at moments of the past, on what had ended by then.

    moments: how many; ece: expected calibration error; missing: why there are no bins.
    """

    bins: list[CalibrationBin] = []
    examples: int = 0
    moments: int = 0
    base_rate: float = 0.0
    ece: float = 0.0
    missing: str = ""


class ChurnBase(msgspec.Struct, frozen=True, kw_only=True):
    """Who may leave, of all active customers. missing: why nothing is known. computed: epoch
    seconds. thirds: what parts the customers by what they spend in 30 days."""

    basis: Basis
    computed: float
    seconds: float
    missing: str = ""
    customers: int = 0
    days: float = 0.0
    as_of: str = ""
    model: str = ""
    mean: float = 0.0
    at_risk: float = 0.0
    thirds: list[float] = []
    distribution: list[Bin] = []
    segments: list[Segment] = []
    calibrated: Calibrated = Calibrated()


class Reached(msgspec.Struct, frozen=True):
    """An item, and to how many shoppers it was recommended."""

    item: str
    shoppers: int


class CoverageBase(msgspec.Struct, frozen=True, kw_only=True):
    """What recommendations reach. asked: shoppers of `users` to whom was recommended.

    sources: how many got theirs from which fallback.
    """

    basis: Basis
    computed: float
    seconds: float
    users: int
    asked: int
    items: int
    top_n: int
    coverage: float
    gini: float
    most: list[Reached]
    sources: dict[str, int]


class CustomerBase(msgspec.Struct, frozen=True):
    """Both parts, those that are kept."""

    churn: ChurnBase | None = None
    coverage: CoverageBase | None = None


P = TypeVar("P", ChurnBase, CoverageBase)


def stored_figures(home: Path) -> CustomerBase:
    """What was worked out last, whatever it was made of; a file that cannot be read is none."""
    return CustomerBase(_read(home, "churn", ChurnBase), _read(home, "coverage", CoverageBase))


def churn_basis(state: ServedState, newest: float | None) -> Basis:
    """What the churn part follows from. newest: time of the newest stored event."""
    return {"format": _FORMAT, "model": state.versions["model"], "newest": newest}


def coverage_basis(state: ServedState, newest: float | None) -> Basis:
    """What the coverage follows from."""
    blend = f"{state.published.name}@{state.published_version}"
    return {"format": _FORMAT, **state.versions, "blend": blend, "newest": newest}


def customer_base(
    workspace: Workspace,
    state: ServedState,
    histories: Histories,
    users: int = USERS,
    progress: Progress = bars,
) -> CustomerBase:
    """Work out what is not kept of what is served and stored now. Each part is kept when it is
    done, so that one who stops loses the one under way alone."""
    newest = histories.newest_time()
    if newest is None:
        raise Failure(
            "There is no event yet, so there is no customer.",
            hint="Run `reranker events import FILE` first.",
        )
    last = stored_figures(workspace.home)
    churn, reach = last.churn, last.coverage
    if churn is None or churn.basis != churn_basis(state, newest):
        churn = _churn(workspace, state, churn_basis(state, newest), progress)
        _write(workspace.home, "churn", churn)
    basis = coverage_basis(state, newest)
    if reach is None or reach.basis != basis or reach.asked < min(users, reach.users):
        reach = _coverage(state, histories, basis, users, progress)
        _write(workspace.home, "coverage", reach)
    return CustomerBase(churn, reach)


def _churn(workspace: Workspace, state: ServedState, basis: Basis, progress: Progress) -> ChurnBase:
    began = time.time()
    card = load_churn(state.model.folder) if state.model else None
    if card is None:
        missing = _NO_MODEL if state.model is None else _NO_CHURN
        return ChurnBase(basis=basis, computed=began, seconds=0.0, missing=missing)
    with progress("churn", 2) as advance:
        events = stored_events(workspace, card.user_events)
        figures = _foreseen(card, events)
        advance(1)
        figures["calibrated"] = _calibrated(card, events)
        advance(1)
    now = time.time()
    return ChurnBase(basis=basis, computed=now, seconds=now - began, **figures)


def _foreseen(card: ChurnCard, events: ChurnEvents) -> dict[str, Any]:
    """As GET /users/<id>/churn foresees, of every active customer at once."""
    now = after(float(events.times.max())) if len(events) else 0.0
    inputs = inputs_at(events, now, card.active_days)
    if not len(inputs.customers):
        return {"missing": f"Nobody bought anything in the last {card.active_days:g} days."}
    chances = probabilities(card.model, inputs.columns)
    at_risk = chances * inputs.values * card.days / 30.0
    return {
        "customers": len(chances),
        "days": card.days,
        "as_of": iso(now),
        "model": card.name,
        "mean": float(chances.mean()),
        "at_risk": float(at_risk.sum()),
        "thirds": np.quantile(inputs.values, [1 / 3, 2 / 3]).tolist(),
        "distribution": _distribution(chances),
        "segments": _segments(chances, inputs.values, at_risk),
    }


def _distribution(chances: Floats) -> list[Bin]:
    counts, ends = np.histogram(chances, _BINS, (0.0, 1.0))
    return [
        Bin(round(float(low), 3), round(float(high), 3), int(count))
        for low, high, count in zip(ends, ends[1:], counts, strict=False)
    ]


def _segments(chances: Floats, values: Floats, at_risk: Floats) -> list[Segment]:
    """Thirds by rank, so that customers who spend the same do not all fall into one; bands of
    risk."""
    rank = np.empty(len(values), np.int64)
    rank[np.argsort(values, kind="stable")] = np.arange(len(values))
    third = rank * len(THIRDS) // len(values)
    segments = []
    for number, name in enumerate(THIRDS):
        for low, high in zip(RISKS, RISKS[1:], strict=False):
            mask: Mask = (third == number) & (chances >= low)
            mask &= (chances < high) | (high == RISKS[-1])
            segments.append(Segment(name, low, high, int(mask.sum()), float(at_risk[mask].sum())))
    return segments


def _calibrated(card: ChurnCard, events: ChurnEvents) -> Calibrated:
    """The shipped kind of model alone, as `evaluate churn` asks it."""
    try:
        ready = prepared(events, card.days, card.active_days)
    except TooFewPurchases as few:
        return Calibrated(missing=few.message)
    models = candidates()
    if card.name not in models:
        return Calibrated(missing=f"{card.name} needs shop-reranker[tune] to be fitted anew.")
    tested, chances = rolling(
        ready.examples, ready.tested, card.days, {card.name: models[card.name]}
    )
    own = chances[card.name]
    bins = [
        CalibrationBin(int(each["examples"]), each["foreseen"], each["observed"])
        for each in calibration(tested.left, own)
    ]
    return Calibrated(
        bins,
        len(tested),
        len(ready.tested),
        float(tested.left.mean()),
        calibration_error(tested.left, own),
    )


def _coverage(
    state: ServedState, histories: Histories, basis: Basis, users: int, progress: Progress
) -> CoverageBase:
    """As POST /recommend recommends, to shoppers who are spread evenly."""
    began = time.time()
    names = list(histories.users())
    chosen = _spread(names, users)
    lists = CatalogueLists(state.index, state.personal.learned)
    shown = np.zeros(len(state.index))
    sources: Counter[str] = Counter()
    with progress("recommend", len(chosen)) as advance:
        for name in chosen:
            answer = recommend(Wish(RerankRequest([], user=name), top_n=TOP_N), state, lists)
            rows = state.index.rows([result.id for result in answer.results])
            shown[rows[rows >= 0]] += 1.0
            sources[answer.source] += 1
            advance(1)
    now = time.time()
    best = np.argsort(-shown, kind="stable")[:_MOST]
    best = best[shown[best] > 0]
    return CoverageBase(
        basis=basis,
        computed=now,
        seconds=now - began,
        users=len(names),
        asked=len(chosen),
        items=len(state.index),
        top_n=TOP_N,
        coverage=coverage(shown),
        gini=gini(shown),
        most=[
            Reached(item, int(shown[row]))
            for item, row in zip(state.index.ids.ids(best), best.tolist(), strict=True)
        ],
        sources=dict(sources),
    )


def _spread(names: Sequence[str], most: int) -> list[str]:
    if len(names) <= most:
        return list(names)
    return [names[math.floor(at * len(names) / most)] for at in range(most)]


def _path(home: Path, part: str) -> Path:
    return home / FOLDER / f"{part}.json"


def _write(home: Path, part: str, value: ChurnBase | CoverageBase) -> None:
    make_own_folder(home / FOLDER)
    write_whole(_path(home, part), msgspec.json.encode(value))


def _read(home: Path, part: str, kind: type[P]) -> P | None:
    try:
        return msgspec.json.decode(_path(home, part).read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None
