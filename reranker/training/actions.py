"""actions.py: sequences -> after each event, what the shopper still did in the same visit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Floats, Ints, Vectors
from reranker.model.action_head import ActionCard, ActionHead, fit_head, save_head
from reranker.model.card import ACTIONS
from reranker.model.next_action import HIDDEN, action_features
from reranker.training.batches import Cases
from reranker.training.inference import user_vectors
from reranker.training.model import Items, SequenceModel
from reranker.training.sequences import Sequences

_MOST: Final = 20_000  # cases that the head of a published model learns from
Learned = Literal["everywhere", "unseen", "logistic"]
_FEWEST_UNSEEN: Final = 500  # cases from which alone a head is learned
_FEWEST: Final = 50  # cases to learn from and to try on before the user vector is believed


def plain_inputs(sequences: Sequences, positions: Ints, length: int, gap_minutes: float) -> Vectors:
    """Recency and counts after each of these events (n, d)."""
    begins = sequences.at[sequences.shoppers_at(positions)]
    kinds = len(sequences.weights)
    rows = [
        action_features(
            sequences.types[max(begin, place + 1 - length) : place + 1],
            sequences.times[max(begin, place + 1 - length) : place + 1],
            kinds,
            gap_minutes,
        )
        for begin, place in zip(begins.tolist(), positions.tolist(), strict=True)
    ]
    return np.stack(rows)


def model_inputs(
    plain: Vectors,
    model: SequenceModel,
    items: Items,
    sequences: Sequences,
    positions: Ints,
    length: int,
) -> Vectors:
    """User vectors right after each of these events, beside recency and counts (n, d + e)."""
    shoppers = sequences.shoppers_at(positions)
    nothing = np.zeros(len(positions), np.int64)
    cases = Cases(shoppers, positions + 1, sequences.times[positions], nothing)
    return np.concatenate([user_vectors(model, items, sequences, cases, length), plain], axis=1)


@dataclass(frozen=True, eq=False)
class ActionCases:
    """positions (n,): events after which is foreseen. labels (n, 3): ACTIONS, as 0 or 1.
    ended (n,): when the visit's last event was.

    Left out: open_visits, events whose visit may still have gone on when the data ended, and
    same_moment, events after which the shopper's next has the same time. Nobody is asked about
    between two lines of one basket, and that more of its lines come is not foresight.
    """

    positions: Ints
    shoppers: Ints
    labels: npt.NDArray[np.bool_]
    ended: Floats
    open_visits: int
    same_moment: int


def action_cases(sequences: Sequences, gap_minutes: float) -> ActionCases:
    """A silence longer than the gap ends a visit; the last event of a visit is followed by leaving.

    purchase, cart: such an event comes later in the visit.
    """
    owner, times = sequences.owner, sequences.times
    n, gap = len(times), gap_minutes * 60
    if not n:
        empty = np.zeros(0, np.int64)
        return ActionCases(empty, empty, np.zeros((0, len(ACTIONS)), bool), np.zeros(0), 0, 0)
    last = np.ones(n, bool)  # of its visit
    last[:-1] = (owner[1:] != owner[:-1]) | (np.diff(times) > gap)
    visit = np.append(0, np.cumsum(last)[:-1])
    ends = np.flatnonzero(last)[visit]  # place of the visit's last event
    names = list(sequences.weights)
    labels = np.zeros((n, len(ACTIONS)), bool)
    for column, name in enumerate(ACTIONS[:2]):
        if name in names:
            so_far = np.cumsum(sequences.types == names.index(name))
            labels[:, column] = so_far[ends] > so_far
    labels[:, 2] = last
    closed = times[ends] + gap < times.max()
    settled = last.copy()
    settled[:-1] |= np.diff(times) > 0
    positions = np.flatnonzero(closed & settled)
    return ActionCases(
        positions=positions,
        shoppers=owner[positions],
        labels=labels[positions],
        ended=times[ends][positions],
        open_visits=int((~closed).sum()),
        same_moment=int((closed & ~settled).sum()),
    )


def fit_next_action(
    model: Any,
    items: Any,
    sequences: Sequences,
    session_minutes: float,
    length: int,
    folder: Path,
    limits: Ints | None = None,
) -> bool:
    """Learn the head of a model that is about to be published; False where there is too little.

    model: None where no encoder is served: then recency and counts foresee alone.
    limits (s,): of each shopper, from where on the encoder has learned nothing. There it is tried
    whether the user vector helps; where it does not, the logistic regression is published.
    """
    cases = action_cases(sequences, session_minutes)
    happened = [bool(column.any() and not column.all()) for column in cases.labels.T]
    if len(cases.positions) < 100 or not any(happened):
        return False
    fresh = np.zeros(len(cases.positions), bool)
    if limits is not None:
        fresh = cases.positions >= limits[cases.shoppers]
    # Moments that the encoder has not seen first: they are few, and tell most.
    drawn = np.random.default_rng(1).permutation(len(cases.positions))
    chosen = np.sort(drawn[np.argsort(~fresh[drawn], kind="stable")][:_MOST])
    positions, shoppers = cases.positions[chosen], cases.shoppers[chosen]
    labels, unseen = cases.labels[chosen], fresh[chosen]
    whole = plain = plain_inputs(sequences, positions, length, session_minutes)
    how: Learned = "logistic"
    if model is not None:
        whole = model_inputs(plain, model, items, sequences, positions, length)
        how = "everywhere"
        if limits is not None:
            how = best_learned(whole, plain, labels, shoppers, unseen)
    head = learned_head(how, whole, plain, labels, shoppers, unseen)
    card = ActionCard(
        possible=[name for name, seen in zip(ACTIONS, happened, strict=True) if seen],
        types=list(sequences.weights),
        session_minutes=session_minutes,
        vector=how != "logistic",
    )
    save_head(head, card, folder)
    return True


def best_learned(
    whole: Vectors,
    plain: Vectors,
    labels: npt.NDArray[np.bool_],
    shoppers: npt.NDArray[np.int64],
    unseen: npt.NDArray[np.bool_],
) -> Learned:
    """How to learn: `everywhere` or at `unseen` moments from user vector, recency and counts, or by
    a `logistic` regression on recency and counts. The least log loss wins, at moments of half of
    the shoppers that neither the encoder (`unseen`) nor a head has learned from.

    An encoder knows more of the moments that it learned from than it will know of any to come, so
    that a head learned there may believe it too much. Too few moments to say: `logistic`.
    """
    half = np.isin(shoppers, np.unique(shoppers[unseen])[::2])
    asked, fresh = unseen & half, unseen & ~half
    if min(asked.sum(), (~unseen).sum()) < _FEWEST:
        return "logistic"
    tried: dict[Learned, tuple[Vectors, npt.NDArray[np.bool_], int]] = {
        "logistic": (plain, ~asked, 0),
        "everywhere": (whole, ~asked, HIDDEN),
    }
    if fresh.sum() >= _FEWEST_UNSEEN:
        tried["unseen"] = (whole, fresh, HIDDEN)
    losses: dict[Learned, float] = {}
    for name, (inputs, learned, hidden) in tried.items():
        head = fit_head(inputs[learned], labels[learned], shoppers[learned], hidden)
        chances = head(inputs[asked])
        sure = np.where(labels[asked], chances, 1.0 - chances)
        losses[name] = float(-np.log(np.clip(sure, 1e-9, 1.0)).mean())
    return min(losses, key=lambda name: losses[name])


def learned_head(
    how: Learned,
    whole: Vectors,
    plain: Vectors,
    labels: npt.NDArray[np.bool_],
    shoppers: npt.NDArray[np.int64],
    unseen: npt.NDArray[np.bool_],
) -> ActionHead:
    """The head that learns so, from all there is for it."""
    if how == "logistic":
        return fit_head(plain, labels, shoppers, 0)
    of = unseen if how == "unseen" else np.ones(len(unseen), bool)
    return fit_head(whole[of], labels[of], shoppers[of], HIDDEN)
