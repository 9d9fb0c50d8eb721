"""matrices.py: judged columns -> the matrices that blends are fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from indexes.storage.arrays import Floats, Ints, Values
from reranker.blends.blend import DEFAULT, PERSONAL, Blend, SignalWeight
from reranker.blends.trees import CONTEXT, tree_inputs
from reranker.feedback.off_policy import CLIP
from reranker.metrics.ranking import gains
from reranker.signals.columns import Column, input_names, normalised
from reranker.signals.registry import SIGNALS
from reranker.tuning.columns import JudgedColumns

_BUILT_IN: Final = DEFAULT.signals | PERSONAL.signals


@dataclass(frozen=True, eq=False)
class Rows:
    """Candidates of all requests, one under the other.

    values (rows, columns); grades (rows,); at (requests + 1,): where each request's rows begin.
    shown (rows,): the position from 0 where it was shown, -1 in a judged request; None: all judged.
    looks (rows,): how likely it was looked at there; None: all the same.
    """

    names: list[str]
    values: Floats
    grades: Values
    at: Ints
    shown: Ints | None = None
    looks: Values | None = None

    @property
    def positions(self) -> Ints:
        """`shown`, where there is any or not (rows,)."""
        return np.full(len(self.grades), -1) if self.shown is None else self.shown

    @property
    def worth(self) -> Values:
        """What each grade counts (rows,): 1, or of a click 1 / looks, clipped."""
        return np.ones(len(self.grades)) if self.looks is None else np.minimum(1 / self.looks, CLIP)

    @property
    def offsets(self) -> Values:
        """log of how much rarer each row's gain still is, where 1 / looks was clipped (rows,)."""
        return np.zeros(len(self.grades)) if self.looks is None else np.log(self.looks * self.worth)

    @property
    def groups(self) -> Ints:
        """How many rows each request has."""
        return np.diff(self.at)

    @property
    def owner(self) -> Ints:
        """To which request each row belongs (rows,)."""
        return np.repeat(np.arange(len(self.at) - 1), self.groups)

    def of(self, requests: Ints) -> "Rows":
        """The rows of these requests only."""
        rows = np.concatenate(
            [np.arange(self.at[request], self.at[request + 1]) for request in requests.tolist()]
        )
        at = np.append(0, np.cumsum(self.groups[requests]))
        return Rows(
            self.names,
            self.values[rows],
            self.grades[rows],
            at,
            None if self.shown is None else self.shown[rows],
            None if self.looks is None else self.looks[rows],
        )


def signals_seen(requests: Sequence[JudgedColumns]) -> list[str]:
    """Signals that say anything of these requests."""
    seen = {
        name
        for judged in requests
        for name, column in judged.columns.items()
        if isinstance(column, Column) and column.known.any()
    }
    return [name for name in SIGNALS if name in seen]


def start_of(base: Blend, signals: Sequence[str], built_in: bool = False) -> Blend:
    """What tuning begins with: the base's linear weights, and the built-in ones where it has none.

    A base of another kind lends its guard rails; its weights are multipliers of something else.
    built_in: take nothing but that of the base, which knows what is held out.
    """
    own = base.kind == "linear" and not built_in
    weights = _BUILT_IN | (base.signals if own else {})
    return Blend(
        name=base.name,
        signals={name: weights.get(name, SignalWeight(0.0)) for name in signals},
        gate=base.gate if own else PERSONAL.gate,
        guards=base.guards,
        diversity=base.diversity,
    )


def linear_rows(requests: Sequence[JudgedColumns], blend: Blend, *, every: bool = False) -> Rows:
    """A column a signal: what a weight of 1 would add to the scores in this blend.

    every: also candidates that nobody saw.
    """
    blocks = []
    for judged in requests:
        gate = judged.gate_of(blend)
        block = np.zeros((len(judged.grades), len(blend.signals)))
        for place, (name, part) in enumerate(blend.signals.items()):
            column = judged.columns.get(name)
            if isinstance(column, Column):
                block[:, place] = normalised(column, part.normalise) * column.trust
                if SIGNALS[name].personal:
                    block[:, place] *= gate
        blocks.append(block)
    return _rows(list(blend.signals), blocks, requests, every)


def learned_rows(
    requests: Sequence[JudgedColumns], blend: Blend, context: bool, *, every: bool = False
) -> Rows:
    """A column for each input of each signal, and for what is the same for a whole request.

    every: also candidates that nobody saw.
    """
    names = list(
        dict.fromkeys(
            f"{signal}.{part}"
            for judged in requests
            for signal in blend.signals
            for column in (judged.columns.get(signal),)
            if isinstance(column, Column)
            for part in input_names(column)
        )
    )
    if context:
        names += [f"{CONTEXT}.{name}" for name in requests[0].context]
    blocks = [
        tree_inputs(
            names,
            judged.columns,
            lambda name: blend.signals[name].normalise,
            judged.context,
            len(judged.grades),
        )
        for judged in requests
    ]
    return _rows(names, blocks, requests, every)


def shares_of_gain(rows: Rows) -> Values:
    """Each candidate's share (rows,) of its request's gain; zeros where nothing is relevant.

    Of a request with clicks it is the share of what such a request has on average: one that was
    clicked further down says more.
    """
    gain = gains(rows.grades) * rows.worth
    total = np.add.reduceat(gain, rows.at[:-1])
    clicked = rows.positions[rows.at[:-1]] >= 0
    if clicked.any():
        total[clicked] = total[clicked].mean()
    return np.asarray(gain / np.where(total > 0, total, 1.0)[rows.owner])


def _rows(
    names: list[str], blocks: list[Floats], requests: Sequence[JudgedColumns], every: bool
) -> Rows:
    kept = [np.ones(len(judged.grades), bool) if every else judged.rows for judged in requests]
    at = np.append(0, np.cumsum([int(mask.sum()) for mask in kept]))
    mask = np.concatenate(kept)
    grades = np.concatenate([judged.grades for judged in requests])[mask]
    shown = None
    if any(judged.positions is not None for judged in requests):
        shown = np.concatenate(
            [
                np.full(len(judged.grades), -1) if judged.positions is None else judged.positions
                for judged in requests
            ]
        )[mask]
    return Rows(names, np.concatenate(blocks)[mask], grades, at, shown)
