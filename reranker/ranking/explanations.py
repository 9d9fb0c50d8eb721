"""explanations.py: contributions and moves -> for each item, the arithmetic of its place."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from reranker.blends.guard_rails import Move, Moves
from reranker.ranking.scoring import Contribution, trust_of


class SignalExplanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """contribution = weight x normalised; no `raw` where the signal does not know the item.

    normalised: in a blend of curves the sum of `curves`, in one of trees the signal's share.
    trust: factor within the weight, below 1 where the encoder hardly knows the query.
    """

    weight: float
    normalised: float
    contribution: float
    raw: float | None = None
    known: bool = True
    parts: dict[str, float] = {}
    curves: dict[str, float] = {}
    trust: float | None = None


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """`contributions` add up to the score; `moved` counts the places gained (+) or lost (-).

    moves: what diversity and guard rails changed after the scores, one after another.
    """

    contributions: dict[str, float]
    signals: dict[str, SignalExplanation]
    moved: int
    gate: float | None = None  # factor within the weights of personal signals
    segment: str | None = None  # whose weights counted
    moves: list[Move] = []


def explain(
    parts: list[Contribution],
    order: npt.NDArray[np.int64],
    gate: float | None = None,
    segment: str | None = None,
    moves: Moves | None = None,
) -> list[Explanation]:
    """One explanation for each place of the new order (n,)."""
    plain = [_plain(part) for part in parts]
    return [
        Explanation(
            contributions={part.signal: lists["amounts"][index] for part, lists in plain},
            signals={part.signal: _signal(part, lists, index) for part, lists in plain},
            moved=index - place,
            gate=gate,
            segment=segment,
            moves=(moves or {}).get(index, []),
        )
        for place, index in enumerate(order.tolist())
    ]


def _plain(part: Contribution) -> tuple[Contribution, dict[str, Any]]:
    """Arrays as lists, once, instead of a numpy scalar a cell."""
    lists: dict[str, Any] = {
        "normalised": part.normalised.tolist(),
        "amounts": part.amounts.tolist(),
        "curves": {name: values.tolist() for name, values in part.curves.items()},
    }
    if part.column is not None:
        lists |= {
            "raw": part.column.values.tolist(),
            "known": part.column.known.tolist(),
            "parts": {name: values.tolist() for name, values in part.column.parts.items()},
        }
    return part, lists


def _signal(part: Contribution, lists: dict[str, Any], index: int) -> SignalExplanation:
    known = part.column is not None and lists["known"][index]
    return SignalExplanation(
        weight=part.weight,
        normalised=lists["normalised"][index],
        contribution=lists["amounts"][index],
        raw=lists["raw"][index] if known else None,
        known=known,
        parts={name: values[index] for name, values in lists["parts"].items()} if known else {},
        curves={name: values[index] for name, values in lists["curves"].items()},
        trust=trust if (trust := trust_of(part.column)) < 1 else None,
    )
