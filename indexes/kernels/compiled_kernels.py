"""compiled_kernels.py: the functions of numpy_kernels.py in C; ImportError where not built."""

import numpy as np
import numpy.typing as npt

from indexes.kernels import _compiled
from indexes.kernels._compiled import filled as _filled
from indexes.kernels._compiled import is_finite, may_be
from indexes.kernels._compiled import rows_of as _rows_of  # one of before lacks it: ImportError
from indexes.kernels.numpy_kernels import IdLookup, Program, Rows, Values, Vectors, Weighed

__all__ = ["is_finite", "may_be"]


def decoded(
    codes: npt.NDArray[np.uint8], rows: Rows, dimensions: int, room: Vectors | None = None
) -> Vectors:
    """See numpy_kernels."""
    shape = len(rows), dimensions
    if room is None or room.size < len(rows) * dimensions:
        out = np.empty(shape, np.float32)
    else:
        out = room[: len(rows) * dimensions].reshape(shape)
    _compiled.decoded(codes, rows, out)
    return out


def dots(vectors: Vectors, towards: Vectors) -> Vectors:
    """See numpy_kernels."""
    out = np.empty((len(vectors), len(towards)), np.float32)
    _compiled.dots(vectors.shape[1], vectors, towards, out)
    return out


def likeness(vectors: Vectors, worth: npt.NDArray[np.float32]) -> Values:
    """See numpy_kernels."""
    out = np.empty(len(vectors))
    _compiled.likeness(vectors, worth, out)
    return out


def filled(rows: Rows, programs: list[Program]) -> Values:
    """See numpy_kernels."""
    out = np.empty((len(programs), len(rows)))
    _filled(rows, programs, out)
    return out


def even_worth(
    first: Values, ordered: Values, steps: Values, even: float
) -> npt.NDArray[np.float32]:
    """See numpy_kernels."""
    out = np.empty(len(first), np.float32)
    _compiled.even_worth(first, ordered, steps, even, out)
    return out


def added_up(columns: list[Weighed], most: float, n: int) -> Values:
    """See numpy_kernels."""
    out = np.empty(n)
    _compiled.added_up(columns, most, out)
    return out


def rows_of(ids: list[str], lookup: IdLookup) -> Rows:
    """See numpy_kernels."""
    rows = np.empty(len(ids), np.int64)
    _rows_of(ids, *lookup, rows)
    return rows
