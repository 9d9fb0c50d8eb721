"""blends.py: columns -> contributions that add up to the scores."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from reranker.columns import Column, Missing, Values
from reranker.errors import BadBlend
from reranker.gates import Gate
from reranker.normalising import Normalise, normalised
from reranker.signals import SIGNALS, Columns

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
Weight = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class SignalWeight(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much one signal counts, and how its values are made comparable."""

    weight: Weight
    normalise: Normalise = "minmax"


class Blend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A linear blend: score = sum over signals of weight x normalised value."""

    name: Annotated[str, msgspec.Meta(pattern=NAME)]
    signals: dict[str, SignalWeight]
    kind: Literal["linear"] = "linear"
    note: str = ""
    author: str = ""
    gate: Gate | None = None  # of the personal signals; None: they count in full


@dataclass(frozen=True, slots=True)
class Contribution:
    """One signal's share of the scores of all candidates. Arrays are (n,)."""

    signal: str
    column: Column
    normalised: Values
    weight: float
    amounts: Values  # weight * normalised


# Weights picked on a plateau, not at a peak: docs/evaluation.md says how.
DEFAULT = Blend(
    name="default",
    note="Engine and text in balance, with a hand for exact words; nothing to train.",
    signals={
        "engine": SignalWeight(1.0),
        "semantic": SignalWeight(1.5),
        "match": SignalWeight(0.5),
        "available": SignalWeight(0.5, "none"),
        "fresh": SignalWeight(0.0, "none"),
    },
)

# What `reranker train` publishes: docs/evaluation.md says how it was picked.
PERSONAL: Final = msgspec.structs.replace(
    DEFAULT,
    note="The default, with what shoppers do: published by `reranker train`.",
    signals=DEFAULT.signals
    | {
        "popular": SignalWeight(0.5),
        "behaviour": SignalWeight(0.35, "none"),
        "repeat": SignalWeight(0.3, "none"),
        "together": SignalWeight(0.5),
        "near": SignalWeight(0.75),
        "taste": SignalWeight(0.75),
    },
    gate=Gate(),
)


def checked(blend: Blend) -> Blend:
    """The same blend; BadBlend when it names a signal that there is not, or no signal at all."""
    for name, part in blend.signals.items():
        if name not in SIGNALS:
            raise BadBlend(
                f"Blend {blend.name!r} weighs {name!r}, which is no signal; "
                f"signals are {', '.join(SIGNALS)}.",
                field=f"signals.{name}",
            )
        if not np.isfinite(part.weight):
            raise BadBlend(
                f"signals.{name}.weight is {part.weight}; it has to be a number.",
                field=f"signals.{name}.weight",
            )
    if not blend.signals:
        raise BadBlend(f"Blend {blend.name!r} weighs no signal.", field="signals")
    return blend


def parse(data: bytes, source: str) -> Blend:
    """A blend from JSON; BadBlend names the field."""
    try:
        blend = msgspec.json.decode(data, type=Blend)
    except msgspec.DecodeError as error:
        raise BadBlend(f"{source}: {error}.") from None
    if not re.fullmatch(NAME, blend.name):  # `$` in a pattern lets a last newline through
        raise BadBlend(f"{source}: name is {blend.name!r}; letters, digits, - and _ are allowed.")
    return checked(blend)


def wanted(blend: Blend, weights: Mapping[str, float]) -> list[str]:
    """Signals that can move this ranking; the others need no computing."""
    return [
        name
        for name, part in blend.signals.items()
        if part.weight != 0 and weights.get(name, 1.0) != 0
    ]


def contributions(
    blend: Blend, columns: Columns, weights: Mapping[str, float], gate: float = 1.0
) -> list[Contribution]:
    """What each present signal adds to each candidate's score, in the blend's order.

    gate: what the weights of personal signals are multiplied by.
    """
    found = []
    for name, part in blend.signals.items():
        column = columns.get(name)
        if column is None or isinstance(column, Missing):
            continue
        values = normalised(column, part.normalise)
        weight = part.weight * weights.get(name, 1.0) * (gate if SIGNALS[name].personal else 1.0)
        found.append(Contribution(name, column, values, weight, weight * values))
    return found


def scores(parts: list[Contribution], n: int) -> Values:
    """Scores (n,): the contributions added one after another, as the explanation lists them."""
    total = np.zeros(n, dtype=np.float64)
    for part in parts:
        total += part.amounts
    return total
