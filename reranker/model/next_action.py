"""next_action.py: a shopper's events and the served model -> the chance of what comes next.

Foreseen is what happens after the newest event, within the same visit.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Vectors
from reranker.events.events import TYPES, HistoryEvent
from reranker.model.action_head import ActionCard, ActionHead, load_head
from reranker.model.card import ACTIONS
from reranker.model.served_model import ServedModel
from reranker.runtime.caches import QueryVectors

FEATURES: Final = ("length", "gap", "visit_seconds", "visit_events", "visits")

HIDDEN: Final = 64


def action_features(
    types: npt.NDArray[np.int64], times: npt.NDArray[np.float64], kinds: int, gap_minutes: float
) -> Vectors:
    """Of the events up to now (m,), oldest first, m >= 1 -> (5 + 3 x kinds,).

    Logs of 1 + : events, seconds since the event before, seconds and events of this visit, visits;
    then by type: log counts in the history and in this visit, and which type the newest is.
    """
    gaps = np.diff(times)
    breaks = np.flatnonzero(gaps > gap_minutes * 60)
    start = int(breaks[-1]) + 1 if len(breaks) else 0
    plain = [
        len(times),
        float(gaps[-1]) if len(gaps) else 0.0,
        float(times[-1] - times[start]),
        len(times) - start,
        len(breaks) + 1,
    ]
    newest = np.zeros(kinds)
    newest[types[-1]] = 1.0
    return np.concatenate(
        [
            np.log1p(np.maximum(plain, 0.0)),
            np.log1p(np.bincount(types, minlength=kinds)),
            np.log1p(np.bincount(types[start:], minlength=kinds)),
            newest,
        ]
    ).astype(np.float32)


class NextAction:
    """The head of one model version."""

    def __init__(self, model: ServedModel, head: ActionHead, card: ActionCard) -> None:
        self._model, self._head, self.card = model, head, card

    def __call__(
        self, events: Sequence[HistoryEvent], query_vectors: QueryVectors
    ) -> dict[str, float]:
        """Chances of the actions that training saw; events: oldest first, at least one known."""
        model = self._model
        read = [event for event in events if event.type in model.types][-model.length :]
        types = np.array([model.types[event.type] for event in read], np.int64)
        times = np.array([event.time for event in read], np.float64)
        plain = action_features(types, times, len(model.types), self.card.session_minutes)
        inputs = plain
        if self.card.vector:
            vector = model.user_vector(read, read[-1].time, query_vectors)
            inputs = np.concatenate([vector, plain])
        chances = self._head(inputs[None])[0].tolist()
        by_action = dict(zip(ACTIONS, chances, strict=True))
        return {name: by_action[name] for name in self.card.possible}


def load_next_action(model: ServedModel) -> NextAction | None:
    """None where the model was trained without a head."""
    head = load_head(model.folder)
    return None if head is None else NextAction(model, *head)


def lacking(action: str, types: Iterable[str]) -> str:
    """What to do where no event of an action's type was seen, as sentences."""
    own = ", ".join(name for name in types if name not in TYPES)
    beside = f"; types of their own are {own}" if own else ""
    return (
        f"No event has the type {action}{beside}. A shop's own word for it is written as "
        f'"order={action}" in the setting events.types.'
    )
