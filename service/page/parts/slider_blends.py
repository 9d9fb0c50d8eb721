"""slider_blends.py: a blend and what the sliders say -> a blend of its own, stored, unpublished."""

from collections.abc import Mapping
from typing import Final

import msgspec

from reranker.blends.blend import Blend
from reranker.ranking.state import ServedState
from reranker.signals.registry import SIGNALS

_NOTHING: Final = 1e-9  # trees read a signal that weighs 0 as missing, so it weighs next to nothing


def multiplied(blend: Blend, factors: Mapping[str, float]) -> Blend:
    """The blend that ranks as this one does with these `weights` in the request: each signal's
    weight times its factor, within segments, too."""
    least = _NOTHING if blend.kind == "trees" else 0.0

    def times(name: str, weight: float) -> float:
        return round(weight * max(factors.get(name, 1.0), least), 12)

    return msgspec.structs.replace(
        blend,
        signals={
            name: msgspec.structs.replace(part, weight=times(name, part.weight))
            for name, part in blend.signals.items()
        },
        segments=[
            msgspec.structs.replace(
                segment,
                weights={name: times(name, weight) for name, weight in segment.weights.items()},
            )
            for segment in blend.segments
        ],
    )


def words(label: str, factors: Mapping[str, float]) -> str:
    """ "default v2 with semantic ×0.5, match ×2": a note of what was moved."""
    moved = [f"{name} ×{factors[name]:g}" for name in SIGNALS if factors.get(name, 1.0) != 1.0]
    return f"{label} with {', '.join(moved)}" if moved else label


def stored(
    state: ServedState,
    base: str | None,
    factors: Mapping[str, float],
    *,
    name: str,
    note: str = "",
    who: str = "",
) -> str:
    """Store the sliders' blend under this name; its label, `name@version`. Nothing is published."""
    blend, number = state.blend(base)
    note = note.strip() or words(f"{blend.name} v{number}", factors)
    made = msgspec.structs.replace(
        multiplied(blend, factors), name=name.strip(), note=note, author=who, version=None
    )
    saved, version = state.store.save(made, who=who)
    return f"{saved.name}@{version}"
