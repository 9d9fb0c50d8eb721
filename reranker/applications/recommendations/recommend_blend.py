"""recommend_blend.py: the blend of POST /recommend, as a training publishes it beside the model."""

from pathlib import Path
from typing import Final

import msgspec

from indexes.storage.arrays import Values
from reranker.blends.blend import DEFAULT, Blend, SignalWeight

NAME: Final = "recommend"
FILE: Final = "recommend.json"
BLENDED: Final = "blend"
FITTED: Final = ("engine", "popular", "behaviour", "repeat", "together", "near", "taste", "looks")
BUILT_IN: Final = (
    0.5,
    0.3,
    0.5,
    0.4,
    0.6,
    1.0,
    0.2,
    0.5,
)  # of FITTED, where too little is there to fit
ENCODER: Final = "behaviour"
_SEARCHED: Final = ("semantic", "match")  # count where the page has a search
_TIES: Final = 1e-3  # of popularity, beside a signal that is served alone


class RecommendCard(msgspec.Struct, frozen=True):
    """blend: as fitted. chosen: BLENDED, or the signal that is served alone, as it was not beaten.

    ndcg: NDCG@10 of the blend and of each signal alone, on half of the moments, by a blend of the
    other half. moments: in all; 0 where the built-in weights stand.
    """

    blend: Blend
    chosen: str = BLENDED
    ndcg: dict[str, float] = {}
    moments: int = 0
    format: int = 1


def recommend_blend(weights: Values, note: str) -> Blend:
    """weights (FITTED,), each of the signal's own values: no item's score depends on the others."""
    signals = {
        name: SignalWeight(float(f"{weight:.4g}"), "none")
        for name, weight in zip(FITTED, weights.tolist(), strict=True)
        if weight > 0
    }
    signals["available"] = SignalWeight(0.5, "none")
    signals |= {name: DEFAULT.signals[name] for name in _SEARCHED}
    return Blend(name=NAME, note=note, signals=signals)


def alone(signal: str) -> Values:
    """Weights (FITTED,) by which this signal is served alone; equal items by popularity."""
    return _weights({"popular": _TIES} | {signal: 1.0})


def built_in(encoder: bool) -> Values:
    """Weights (FITTED,) for a shop of which nothing is known."""
    weights = dict(zip(FITTED, BUILT_IN, strict=True))
    return _weights(weights if encoder else weights | {ENCODER: 0.0})


def for_page(blend: Blend, query: str) -> Blend:
    """Without what reads a search, on a page that has none."""
    if query.strip():
        return blend
    signals = {name: part for name, part in blend.signals.items() if name not in _SEARCHED}
    return msgspec.structs.replace(blend, signals=signals)


def load_blend(folder: Path) -> RecommendCard | None:
    """None where the version was published without."""
    path = folder / FILE
    return msgspec.json.decode(path.read_bytes(), type=RecommendCard) if path.is_file() else None


def _weights(of: dict[str, float]) -> Values:
    import numpy as np

    return np.array([of.get(name, 0.0) for name in FITTED])
