"""explanations.py: contributions -> for each item, the arithmetic of its score."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from reranker.blends import Contribution


class SignalExplanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """contribution = weight x normalised; no `raw` where the signal does not know the item."""

    weight: float
    normalised: float
    contribution: float
    raw: float | None = None
    known: bool = True
    parts: dict[str, float] = {}


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """`contributions` add up to the score; `moved` counts the places gained (+) or lost (-)."""

    contributions: dict[str, float]
    signals: dict[str, SignalExplanation]
    moved: int
    gate: float | None = None  # factor within the weights of personal signals


def explain(
    parts: list[Contribution], order: npt.NDArray[np.int64], gate: float | None = None
) -> list[Explanation]:
    """One explanation for each place of the new order (n,)."""
    plain = [_plain(part) for part in parts]
    return [_explanation(plain, int(index), place, gate) for place, index in enumerate(order)]


def _plain(part: Contribution) -> tuple[Contribution, dict[str, Any]]:
    """Arrays as lists, once, instead of a numpy scalar a cell."""
    lists: dict[str, Any] = {
        "raw": part.column.values.tolist(),
        "known": part.column.known.tolist(),
        "normalised": part.normalised.tolist(),
        "amounts": part.amounts.tolist(),
        "parts": {name: values.tolist() for name, values in part.column.parts.items()},
    }
    return part, lists


def _explanation(
    plain: list[tuple[Contribution, dict[str, Any]]], index: int, place: int, gate: float | None
) -> Explanation:
    return Explanation(
        contributions={part.signal: lists["amounts"][index] for part, lists in plain},
        signals={part.signal: _signal(part, lists, index) for part, lists in plain},
        moved=index - place,
        gate=gate,
    )


def _signal(part: Contribution, lists: dict[str, Any], index: int) -> SignalExplanation:
    known = lists["known"][index]
    return SignalExplanation(
        weight=part.weight,
        normalised=lists["normalised"][index],
        contribution=lists["amounts"][index],
        raw=lists["raw"][index] if known else None,
        known=known,
        parts={name: values[index] for name, values in lists["parts"].items()} if known else {},
    )
