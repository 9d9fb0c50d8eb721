"""row_memo.py: a number of each item's vector that never changes -> worked out once a row.

Four bytes a row of the index, of which only pages that were touched take memory.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.float32]


class RowMemo:
    """of: vectors (m, d) -> numbers (m,), never 0, which stands for "not asked yet"."""

    def __init__(self, rows: int, of: Callable[[Vectors], Lengths]) -> None:
        self._kept = np.zeros(rows + 1, np.float32)  # the last, of row -1, stays 0
        self._of = of

    def __call__(self, rows: Rows, vectors: Vectors) -> Lengths:
        """The numbers (n,) of rows (n,) with these vectors (n, d); -1: not in the index.

        Threads that meet a row at the same time both work it out, and write the same.
        """
        found = self._kept[rows]
        if not np.minimum.reduce(found):
            new = found == 0
            found[new] = self._of(vectors[new])
            lasting = new & (rows >= 0)
            self._kept[rows[lasting]] = found[lasting]
        return found
