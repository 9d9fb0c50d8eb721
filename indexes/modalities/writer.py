"""writer.py: vectors by item id -> the checked files of one modality."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexes.errors import Failure
from indexes.modalities.vectors import LENGTHS, MATRIX, MEAN, PLACES, VECTORS
from indexes.modalities.whitening import Whitening
from indexes.readers.bad_lines import BadLine, OnBad
from indexes.storage import arrays
from indexes.storage.arrays import Mask, Rows, Vectors

_SAMPLE: Final = 20_000  # vectors from which the whitening is learned
_CHUNK: Final = 8192
DIMENSIONS: Final = (2, 4096)


class VectorBatch(NamedTuple):
    """Some vectors of one source: ids (n,), vectors (n, d), and where they stood in it (n,)."""

    ids: Sequence[str]
    vectors: npt.NDArray[np.floating]
    numbers: Sequence[int]


@dataclass(frozen=True)
class Written:
    """What came of one modality. items: rows with a vector. unknown: vectors whose id is no
    item's."""

    dimensions: int
    items: int
    unknown: int


def write_modality(
    folder: Path,
    items: int,
    rows_of: Callable[[Sequence[str]], Rows],
    batches: Iterable[VectorBatch],
    on_bad: OnBad,
) -> Written:
    """Write the files of one modality into `folder`, which is made.

    items: of the index. rows_of: ids (n,) -> rows (n,), -1 for one that is no item's. A vector that
    is no use (a NaN, zeros, an id that came before) goes to on_bad and costs itself alone. Failure
    where the vectors' length is not allowed.
    """
    folder.mkdir(parents=True)
    places = np.full(items, -1, np.int32)
    count = unknown = dimensions = 0
    with (folder / VECTORS).open("wb") as file:
        for batch in batches:
            dimensions = dimensions or _checked_dimensions(batch.vectors.shape[1])
            units, usable = _units(batch, dimensions, on_bad)
            rows = rows_of(batch.ids)
            unknown += int((usable & (rows < 0)).sum())
            taken = _first_of_each(batch, rows, usable & (rows >= 0), places, on_bad)
            places[rows[taken]] = count + np.arange(len(taken), dtype=np.int32)
            file.write(units[taken].astype(np.float16).tobytes())
            count += len(taken)
    arrays.save(folder / PLACES, places)
    if count:
        _write_whitening(folder, count, dimensions)
    return Written(dimensions, count, unknown)


def _checked_dimensions(dimensions: int) -> int:
    least, most = DIMENSIONS
    if least <= dimensions <= most:
        return dimensions
    raise Failure(
        f"The vectors have {dimensions:,} numbers each; allowed are {least} to {most:,}.",
        hint="Shorten them, such as by a principal component analysis, and run the rebuild again.",
    )


def _units(
    batch: VectorBatch, dimensions: int, on_bad: OnBad
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Vectors (n, d) of length 1, and which of them (n,) are any use."""
    vectors = np.asarray(batch.vectors, np.float64)
    finite = np.asarray(np.isfinite(vectors).all(axis=1))
    vectors = np.where(finite[:, None], vectors, 0.0)
    largest = np.abs(vectors).max(axis=1, initial=0.0)  # squares of huge numbers would overflow
    scaled = vectors / np.where(largest > 0, largest, 1.0)[:, None]
    lengths: npt.NDArray[np.float64] = np.linalg.norm(scaled, axis=1)
    for at in np.flatnonzero(~finite).tolist():
        on_bad(BadLine(batch.numbers[at], f"the vector of {batch.ids[at]!r} {_NOT_FINITE}"))
    for at in np.flatnonzero(finite & (largest == 0)).tolist():
        on_bad(BadLine(batch.numbers[at], f"the vector of {batch.ids[at]!r} is all zeros"))
    return scaled / np.where(lengths > 0, lengths, 1.0)[:, None], lengths > 0


_NOT_FINITE: Final = "holds a NaN or an infinity; allowed are finite numbers"


def _first_of_each(
    batch: VectorBatch,
    rows: Rows,
    usable: Mask,
    places: npt.NDArray[np.int32],
    on_bad: OnBad,
) -> Rows:
    """Which of the batch (m,) are the first of their item."""
    usable = usable.copy()
    came = usable & (places[rows] >= 0)
    candidates = np.flatnonzero(usable & ~came)
    _, first = np.unique(rows[candidates], return_index=True)
    taken = candidates[np.sort(first)]
    came[np.setdiff1d(candidates, taken)] = True
    for at in np.flatnonzero(came).tolist():
        message = f"id {batch.ids[at]!r} came before; the first one stays"
        on_bad(BadLine(batch.numbers[at], message))
    return taken


def _write_whitening(folder: Path, count: int, dimensions: int) -> None:
    """Learn the whitening of the vectors that were written, and how long each is in it."""
    halves = np.asarray(np.memmap(folder / VECTORS, dtype=np.float16, mode="r"))
    vectors = halves.view(np.ndarray).reshape(count, dimensions)
    spread = np.linspace(0, count - 1, min(_SAMPLE, count)).astype(np.int64)
    whitening = Whitening.of(vectors[spread].astype(np.float32))
    lengths = np.empty(count, np.float32)
    for start in range(0, count, _CHUNK):
        part: Vectors = vectors[start : start + _CHUNK].astype(np.float32)
        white = (part - whitening.mean) @ whitening.matrix
        lengths[start : start + _CHUNK] = np.linalg.norm(white, axis=1)
    arrays.save(folder / LENGTHS, np.maximum(lengths, np.float32(1e-12)))
    arrays.save(folder / MEAN, whitening.mean)
    arrays.save(folder / MATRIX, whitening.matrix)
