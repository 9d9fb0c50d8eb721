"""next_action.py: a shopper's events and the served model -> the chance of what comes next.

Foreseen is what happens after the newest event, within the same visit.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from reranker.action_features import action_features
from reranker.action_head import ActionCard, ActionHead, fit_head, load_head, save_head
from reranker.action_labels import ACTIONS, action_cases
from reranker.events import HistoryEvent
from reranker.query_vectors import QueryVectors
from reranker.sequences import Sequences
from reranker.served_model import ServedModel

HIDDEN: Final = 64
_MOST: Final = 20_000  # cases that the head of a published model learns from


class NextAction:
    """The head of one model version."""

    def __init__(self, model: ServedModel, head: ActionHead, card: ActionCard) -> None:
        self._model, self._head, self.card = model, head, card

    def __call__(
        self, events: Sequence[HistoryEvent], query_vectors: QueryVectors
    ) -> dict[str, float]:
        """Chances of the actions that training saw; events: oldest first, at least one known."""
        model = self._model
        kept = [event for event in events if event.type in model.types][-model.length :]
        types = np.array([model.types[event.type] for event in kept], np.int64)
        times = np.array([event.time for event in kept], np.float64)
        plain = action_features(types, times, len(model.types), self.card.session_minutes)
        vector = model.user_vector(kept, kept[-1].time, query_vectors)
        chances = self._head(np.concatenate([vector, plain])[None])[0].tolist()
        found = dict(zip(ACTIONS, chances, strict=True))
        return {name: found[name] for name in self.card.possible}


def load_next_action(model: ServedModel) -> NextAction | None:
    """None where the model was trained without a head."""
    found = load_head(model.folder)
    return None if found is None else NextAction(model, *found)


def fit_next_action(
    model: Any, items: Any, sequences: Sequences, session_minutes: float, length: int, folder: Path
) -> bool:
    """Learn the head of a model that is about to be published; False where there is too little."""
    from reranker.action_inputs import model_inputs, plain_inputs

    cases = action_cases(sequences, session_minutes)
    happened = [bool(one.any() and not one.all()) for one in cases.labels.T]
    if len(cases.positions) < 100 or not any(happened):
        return False
    rng = np.random.default_rng(1)
    some = np.sort(rng.permutation(len(cases.positions))[:_MOST])
    positions = cases.positions[some]
    plain = plain_inputs(sequences, positions, length, session_minutes)
    inputs = model_inputs(plain, model, items, sequences, positions, length)
    head = fit_head(inputs, cases.labels[some], cases.shoppers[some], HIDDEN)
    possible = [name for name, there in zip(ACTIONS, happened, strict=True) if there]
    types = list(sequences.weights)
    save_head(
        head, ActionCard(possible=possible, types=types, session_minutes=session_minutes), folder
    )
    return True
