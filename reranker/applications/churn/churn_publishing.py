"""churn_publishing.py: a home's histories -> the churn model in a model version's folder."""

import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from indexes.workspace import Workspace
from reranker.applications.churn.churn import CHURN, ChurnCard
from reranker.applications.churn.churn_evaluation import (
    ACTIVE_DAYS,
    TooFewPurchases,
    choose,
    prepared,
    rolling,
)
from reranker.applications.churn.churn_examples import ChurnEvents, churn_events
from reranker.applications.churn.churn_models import candidates, fit_bg_nbd
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.model.settings import TrainSettings
from reranker.model_selection.train import TrainingRun

HORIZONS: Final = (30.0, 14.0, 7.0)  # days; the longest that is old enough a base for


def write_churn(run: TrainingRun, folder: Path) -> None:
    """Into the folder of a version that is about to be published; nothing where there is too little
    to learn from."""
    most = run.settings.user_events
    card = fit_longest(stored_events(run.workspace, most, run.until), most)
    if card is not None:
        (folder / CHURN).write_bytes(msgspec.json.encode(card))


def fit_longest(events: ChurnEvents, user_events: int) -> ChurnCard | None:
    """The model of the longest of HORIZONS for which enough was bought for long enough.

    Other horizons are answered by BG/NBD, which needs none.
    """
    for days in HORIZONS:
        try:
            return fit_churn(events, user_events, days)
        except TooFewPurchases:
            continue
    return None


def fit_churn(
    events: ChurnEvents,
    user_events: int,
    days: float = HORIZONS[0],
    active_days: float = ACTIVE_DAYS,
) -> ChurnCard:
    """The model that was best on the newest moments, fitted on all; TooFewPurchases."""
    ready = prepared(events, days, active_days, tested=0)
    models = candidates()
    name, losses = choose(*rolling(ready.examples, ready.choosing, days, models))
    examples = ready.examples
    return ChurnCard(
        name=name,
        model=models[name](examples.inputs, examples.left, days),
        bg_nbd=fit_bg_nbd(examples.inputs, days),
        days=days,
        active_days=active_days,
        user_events=user_events,
        newest=float(events.times.max()),
        examples=len(examples),
        base_rate=float(examples.left.mean()),
        log_loss=losses,
    )


def stored_events(
    workspace: Workspace, most: int | None = None, until: float | None = None
) -> ChurnEvents:
    """Of every user, by pseudonym, the newest `most` events before a time.

    A session that became no user's buys nothing a second time under its name: it is left out.
    """
    most = workspace.section(TrainSettings).user_events if most is None else most
    end = math.inf if until is None else until

    def named() -> Iterator[tuple[str, HistoryEvent]]:
        with closing(open_histories(workspace)) as histories:
            for shopper, events in histories.stream():
                if shopper.user is not None:
                    past = [event for event in events if event.time < end]
                    yield from ((shopper.user, event) for event in past[-most:])

    return churn_events(named())
