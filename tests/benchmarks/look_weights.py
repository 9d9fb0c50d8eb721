"""look_weights.py: the demo shop with vectors of what its pictures show -> what `looks` is worth.

    python tests/benchmarks/look_weights.py --home HOME        # a home that `reranker demo` made

A picture's vector stands in for an image model's: a direction for the kind of thing, one for the
colour and one for the material, which are what the demo's pictures are drawn from, and noise. One
in ten items has none. NDCG@10 of the judged requests by the blend that needs no training, with
`looks` at each weight, of those whose shopper has a history: with their own, and with another's,
which has nothing to do with the search.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from indexes.items.index import ItemIndex
from indexes.modalities.entries import Entry
from indexes.modalities.vectors import ModalityVectors
from indexes.modalities.writer import VectorBatch, write_modality
from indexes.storage.arrays import Floats, Mask, Values
from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT, SignalWeight
from reranker.evaluation.requests import read_requests
from reranker.metrics.intervals import paired_differences
from reranker.metrics.ranking import ndcg
from reranker.model_selection.default_model import with_strangers
from reranker.ranking.state import load_state
from reranker.signals.columns import Column
from reranker.tuning.columns import JudgedColumns, judged_columns

WEIGHTS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_DIMENSIONS: Final = 64
_PARTS: Final[Mapping[str, float]] = {"kind": 1.0, "colour": 0.8, "material": 0.5}
_NOISE: Final = 0.5


def picture_vectors(index: ItemIndex, seed: int = 3) -> Floats:
    """A vector (items, d) of each item's picture."""
    drawn = np.random.default_rng(seed)
    directions: dict[tuple[str, str], Floats] = {}
    vectors = _NOISE * drawn.normal(size=(len(index), _DIMENSIONS))
    for row in range(len(index)):
        item = index.columns.item(row)
        shown = {"kind": item.category, **{k: str(v) for k, v in item.attributes.items()}}
        for part, size in _PARTS.items():
            key = part, shown.get(part, "")
            if key not in directions:
                directions[key] = drawn.normal(size=_DIMENSIONS)
            vectors[row] += size * directions[key]
    return vectors


def modality_of(index: ItemIndex, vectors: Floats, folder: Path) -> ModalityVectors:
    """The same as the modality `image`, but for every tenth item."""
    rows = np.flatnonzero(np.arange(len(index)) % 10)
    batch = VectorBatch(index.ids.ids(rows), vectors[rows], rows.tolist())
    done = write_modality(folder, len(index), index.ids.rows, [batch], print)
    entry = Entry(made_of={}, dimensions=done.dimensions, items=done.items)
    return ModalityVectors(folder, "image", entry)


def worth(requests: Sequence[JudgedColumns], weight: float) -> Values:
    """NDCG@10 of each request (n,)."""
    part = SignalWeight(weight, DEFAULT.signals["looks"].normalise)
    blend = msgspec.structs.replace(DEFAULT, signals=DEFAULT.signals | {"looks": part})
    values = [ndcg(one.grades[one.order(blend)], one.ratings) for one in requests]
    return np.array(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--most", type=int, default=2000, help="requests")
    asked = parser.parse_args()
    state = load_state(Workspace(asked.home))
    requests = list(read_requests(asked.home / "data" / "requests.jsonl.gz", print))[: asked.most]
    with tempfile.TemporaryDirectory() as folder:
        vectors = picture_vectors(state.index)
        state.index.modalities = {
            "image": modality_of(state.index, vectors, Path(folder) / "image")
        }
        own = judged_columns(requests, state, DEFAULT.signals)[0]
        strangers = judged_columns(with_strangers(requests), state, DEFAULT.signals)[0]
    print(f"{len(own):,} requests, {_known(own).sum():,} with a history that has pictures")
    for weight in WEIGHTS:
        own_line, others = _described(own, weight), _described(strangers, weight)
        print(f"looks {weight:<5g} {own_line}; another's history: {others}")


def _known(requests: Sequence[JudgedColumns]) -> Mask:
    return np.array([isinstance(one.columns["looks"], Column) for one in requests])


def _described(requests: Sequence[JudgedColumns], weight: float) -> str:
    known = _known(requests)
    values, base = worth(requests, weight)[known], worth(requests, 0.0)[known]
    difference = paired_differences((values - base)[:, None])[0]
    interval = f"({difference.low:+.4f} to {difference.high:+.4f})"
    return f"NDCG@10 {values.mean():.4f}, difference {difference.mean:+.4f} {interval}"


if __name__ == "__main__":
    main()
