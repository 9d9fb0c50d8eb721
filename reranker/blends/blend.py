"""blend.py: what a blend is: how signals are weighed against each other, and what holds anyhow.

Three kinds, one format. linear: a weight a signal. curves: besides, functions of each signal's
inputs. trees: boosted trees over all of them. In each, score = sum over the signals of
weight x value.
"""

import re
from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from reranker.blends.curves import Curve, check_curves
from reranker.blends.diversity import Diversity
from reranker.blends.gate import Gate, Weight
from reranker.blends.guard_rails import Guards
from reranker.blends.segments import Segment, check_segments
from reranker.blends.trees import Trees, check_trees
from reranker.errors import BadBlend
from reranker.signals.columns import Normalise
from reranker.signals.registry import SIGNALS

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
Kind = Literal["linear", "curves", "trees"]


class SignalWeight(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much one signal counts, and how its values are made comparable."""

    weight: Weight
    normalise: Normalise = "minmax"


class Blend(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """One blend, whole: docs/blends.md tells what each part does.

    version: in an exported file, the version that it was; its manifest says that of a stored one.
    """

    name: Annotated[str, msgspec.Meta(pattern=NAME)]
    signals: dict[str, SignalWeight]
    version: Annotated[int, msgspec.Meta(ge=1)] | None = None
    kind: Kind = "linear"
    note: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    author: Annotated[str, msgspec.Meta(max_length=200)] = ""
    gate: Gate | None = None  # of the personal signals; None: they count in full
    segments: list[Segment] = []
    guards: Guards = Guards()
    diversity: Diversity | None = None
    curves: dict[str, dict[str, Curve]] = {}
    trees: Trees | None = None


# Weights picked on a plateau, not at a peak: docs/evaluation.md says how.
DEFAULT = Blend(
    name="default",
    note="Engine and text in balance, with a hand for exact words; nothing to train.",
    signals={
        "engine": SignalWeight(1.0),
        "semantic": SignalWeight(2.0, "scale"),
        "match": SignalWeight(0.5),
        "typical": SignalWeight(0.75),
        "available": SignalWeight(0.5, "none"),
        "coverage": SignalWeight(1.5, "none"),
        "fresh": SignalWeight(0.0, "none"),
        "depicts": SignalWeight(0.1, "scale"),
        "looks": SignalWeight(0.5, "none"),
    },
    guards=Guards(exact_stays=True),  # a shopper who names an item wants that one
)

# What `reranker train` publishes: docs/evaluation.md says how it was picked.
PERSONAL: Final = msgspec.structs.replace(
    DEFAULT,
    note="The default, with what shoppers do: published by `reranker train`.",
    signals=DEFAULT.signals
    | {
        "popular": SignalWeight(0.5),
        "clicked": SignalWeight(0.5),
        "intent": SignalWeight(0.1, "none"),
        "behaviour": SignalWeight(0.35, "none"),
        "repeat": SignalWeight(0.3, "none"),
        "together": SignalWeight(0.5),
        "near": SignalWeight(0.75),
        "taste": SignalWeight(0.75),
    },
    gate=Gate(),
)

# Published where there was too little to learn an encoder from; gives way to PERSONAL.
WITHOUT_ENCODER: Final = msgspec.structs.replace(
    PERSONAL,
    note="The default, with what shoppers do, but no trained encoder: `reranker train` had too "
    "little to learn one from.",
    signals={
        name: part for name, part in PERSONAL.signals.items() if name not in ("behaviour", "intent")
    },
)

# What earlier releases published by themselves: nobody chose it.
_EARLIER: Final = {
    "engine": SignalWeight(1.0),
    "semantic": SignalWeight(1.5),
    "match": SignalWeight(0.5),
    "typical": SignalWeight(0.5),
    "available": SignalWeight(0.5, "none"),
    "fresh": SignalWeight(0.0, "none"),
}
_EARLIER_COUNTS: Final = _EARLIER | {
    "popular": SignalWeight(0.5),
    "repeat": SignalWeight(0.3, "none"),
    "together": SignalWeight(0.5),
    "near": SignalWeight(0.75),
    "taste": SignalWeight(0.75),
}
_WITHOUT_VECTORS: Final = tuple(
    {name: part for name, part in blend.signals.items() if not SIGNALS[name].vectors}
    for blend in (DEFAULT, PERSONAL, WITHOUT_ENCODER)
)
_UNCOVERED: Final = tuple(
    {name: part for name, part in signals.items() if name != "coverage"}
    for signals in _WITHOUT_VECTORS
)
_BUILT_IN: Final = (
    *(blend.signals for blend in (DEFAULT, PERSONAL, WITHOUT_ENCODER)),
    *_WITHOUT_VECTORS,
    *_UNCOVERED,
    *(_EARLIER, _EARLIER_COUNTS, _EARLIER_COUNTS | {"behaviour": SignalWeight(0.35, "none")}),
)


def is_built_in(blend: Blend) -> bool:
    """Whether this is the `default` of this release or an earlier one, which nobody chose."""
    return blend.name == DEFAULT.name and blend.signals in _BUILT_IN


def checked(blend: Blend) -> Blend:
    """The same blend; BadBlend names the field of what cannot be."""
    if not re.fullmatch(NAME, blend.name):  # `$` in a pattern lets a last newline through
        raise BadBlend(
            f"name is {blend.name!r}; letters, digits, - and _ are allowed.", field="name"
        )
    if not blend.signals:
        raise BadBlend(f"Blend {blend.name!r} weighs no signal.", field="signals")
    for name, part in blend.signals.items():
        _check_signal(blend, name, part.weight)
    check_segments(blend.segments, set(blend.signals))
    _check_kind(blend)
    return blend


def for_segment(blend: Blend, segment: Segment) -> Blend:
    """The blend with the weights and the gate that count in this segment."""
    signals = blend.signals | {
        name: msgspec.structs.replace(blend.signals[name], weight=weight)
        for name, weight in segment.weights.items()
    }
    return msgspec.structs.replace(blend, signals=signals, gate=segment.gate or blend.gate)


def _check_signal(blend: Blend, name: str, weight: float) -> None:
    if name not in SIGNALS:
        raise BadBlend(
            f"Blend {blend.name!r} weighs {name!r}, which is no signal; "
            f"signals are {', '.join(SIGNALS)}.",
            field=f"signals.{name}",
        )
    if not np.isfinite(weight):
        raise BadBlend(
            f"signals.{name}.weight is {weight}; it has to be a number.",
            field=f"signals.{name}.weight",
        )


def _check_kind(blend: Blend) -> None:
    """Curves and trees stand in blends of their kind, and only there."""
    if (blend.kind == "trees") != (blend.trees is not None):
        raise BadBlend(f"kind is {blend.kind!r}, so trees {_must(blend, 'trees')}.", field="trees")
    if (blend.kind == "curves") != bool(blend.curves):
        raise BadBlend(
            f"kind is {blend.kind!r}, so curves {_must(blend, 'curves')}.", field="curves"
        )
    for name in blend.curves:
        if name not in blend.signals:
            raise BadBlend(
                f"curves names {name!r}, which the blend does not weigh.", field=f"curves.{name}"
            )
    check_curves(blend.curves)
    if blend.trees is not None:
        check_trees(blend.trees, blend.signals)


def _must(blend: Blend, part: str) -> str:
    return "have to be there" if blend.kind == part else "must not be there"
