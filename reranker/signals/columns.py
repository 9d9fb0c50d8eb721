"""columns.py: what a signal returns: a number a candidate, or the reason why there is none."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Mask, Values

Parts = dict[str, Values]


@dataclass(slots=True, eq=False)
class Column:
    """One signal over the candidates.

    values:  (n,) finite where known; what stands elsewhere means nothing.
    known:   (n,) where the signal has an opinion.
    lost:    why some are not known, with their count, where that is worth telling the caller.
    made_of: named (n,) arrays that the value was made of, or what computes them: most rankings are
             never asked for them.
    trust:   what the signal's weight is multiplied with in this request: below 1 where the encoder
             hardly knows the query.
    """

    values: Values
    known: Mask
    lost: tuple[tuple[str, int], ...] = ()
    made_of: Parts | Callable[[], Parts] = field(default_factory=dict)
    scaled: dict[str, Values] = field(default_factory=dict)  # by way of normalising; see there
    trust: float = 1.0

    @property
    def parts(self) -> Parts:
        """Named (n,) arrays that the value was made of, for explanations and learned blends."""
        if callable(self.made_of):
            self.made_of = self.made_of()
        return self.made_of

    @property
    def complete(self) -> bool:
        """Whether the signal knows every candidate."""
        return complete(self.known)


@dataclass(frozen=True, slots=True)
class Missing:
    """The signal says nothing about this request.

    degraded: whether the caller should hear of it; a catalogue without a field is no degradation.
    """

    reason: str
    degraded: bool = True


@lru_cache(maxsize=8192)
def everything(n: int) -> Mask:
    """The mask (n,) of all candidates: one array a size, so that `complete` knows it by sight."""
    mask = np.ones(n, dtype=bool)
    mask.flags.writeable = False
    return mask


def complete(known: Mask) -> bool:
    """Whether the mask holds every candidate, as nearly all masks do."""
    return known is everything(len(known)) or bool(known.all())


def mask_of(known: Mask) -> Mask:
    """The same mask, as `everything` where it holds all."""
    return everything(len(known)) if known.all() else known


def over_all(values: npt.NDArray[Any], where: Mask) -> Values:
    """Values of some candidates (m,) spread over all of them (n,), zero elsewhere."""
    if complete(where):
        return values.astype(np.float64, copy=False)
    spread = np.zeros(len(where), dtype=np.float64)
    spread[where] = values
    return spread


def indexed_only(
    values: npt.NDArray[Any], known: Mask, parts: Parts | Callable[[], Parts] | None = None
) -> Column:
    """A column (n,) that knows some candidates; the index lacks the others."""
    if complete(known):
        return Column(values.astype(np.float64, copy=False), known, (), parts or {})
    lost = (("not_in_index", int((~known).sum())),)
    return Column(np.where(known, values, 0.0).astype(np.float64), known, lost, parts or {})


def complete_column(values: Values, reason: str | None = None) -> Column:
    """A column that knows every candidate; `reason` marks how its values had to be made."""
    lost = ((reason, len(values)),) if reason else ()
    return Column(values, everything(len(values)), lost)


def checked(column: Column | Missing) -> Column | Missing:
    """The same column with every infinity and NaN turned into "not known"."""
    if isinstance(column, Missing):
        return column
    if math.isfinite(np.add.reduce(column.values)):  # one number tells of all but too large sums
        return column
    finite = np.isfinite(column.values)
    if finite.all():
        return column
    broken = int((column.known & ~finite).sum())
    known = column.known & finite
    lost = (*column.lost, ("not_finite", broken)) if broken else column.lost
    values = np.where(finite, column.values, 0.0)
    return Column(values, known, lost, column.made_of, trust=column.trust)
