"""action_labels.py: sequences -> after each event, what the shopper still did in the same visit."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from reranker.events import TYPES
from reranker.sequences import Floats, Ints, Sequences

LEAVE: Final = "leave"
ACTIONS: Final = ("purchase", "cart", LEAVE)


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


def lacking(action: str, types: Iterable[str]) -> str:
    """What to do where no event of an action's type was seen, as sentences."""
    own = ", ".join(name for name in types if name not in TYPES)
    beside = f"; types of their own are {own}" if own else ""
    return (
        f"No event has the type {action}{beside}. A shop's own word for it is written as "
        f'"order={action}" in the setting events.types.'
    )


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
    kept = np.flatnonzero(closed & settled)
    return ActionCases(
        positions=kept,
        shoppers=owner[kept],
        labels=labels[kept],
        ended=times[ends][kept],
        open_visits=int((~closed).sum()),
        same_moment=int((closed & ~settled).sum()),
    )
