"""columns.py: what a signal returns: a number a candidate, or the reason why there is none.

And the numbers that blends read of it. scaled: as a linear blend normalises it, within the request.
rank: 1 for the best candidate, 0 for the worst. value: as the signal gave it, comparable between
requests. Besides, each of its parts. What the signal does not know counts as the mean of what it
does know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from indexes.kernels import kernels
from indexes.kernels.numpy_kernels import AS_IT_IS, STRETCHED, Weighed, comparable
from indexes.kernels.numpy_kernels import SCALED as BY_UNIT
from indexes.storage.arrays import Mask, Values

Parts = dict[str, Values]
Normalise = Literal["minmax", "zscore", "rank", "scale", "none"]

LARGEST: Final = 1e100
SCALED: Final = "scaled"
RANK: Final = "rank"
VALUE: Final = "value"
_PARTS: Final = {
    "match": ("words", "brand", "exact"),
    "coverage": ("words", "all"),
    "near": ("mean", "last", "raw"),
    "taste": ("brand", "category", "price"),
}


@dataclass(slots=True, eq=False)
class Column:
    """One signal over the candidates, sound once it is made: what is no finite number is not known.

    ValueError where the shapes differ.

    values:  (n,) finite where known; what stands elsewhere means nothing.
    known:   (n,) where the signal has an opinion.
    lost:    why some are not known, with their count, where that is worth telling the caller.
    made_of: named (n,) arrays that the value was made of, or what computes them: most rankings are
             never asked for them.
    trust:   what the signal's weight is multiplied with in this request: below 1 where the encoder
             hardly knows the query.
    unit:    what counts as far apart in the whole catalogue, which one request's candidates do not
             tell; for the normalisation "scale".
    """

    values: Values
    known: Mask
    lost: tuple[tuple[str, int], ...] = ()
    made_of: Parts | Callable[[], Parts] | None = None
    scaled: dict[str, Values] | None = None  # by way of normalising, once asked for
    trust: float = 1.0
    unit: float = 1.0

    def __post_init__(self) -> None:
        if self.values.shape != self.known.shape:
            raise ValueError(f"{self.values.shape} values, {self.known.shape} known")
        self.values = values = np.ascontiguousarray(self.values, np.float64)
        if kernels.is_finite(values):
            return
        finite = np.isfinite(values)
        broken = int((self.known & ~finite).sum())
        if broken:
            self.lost = (*self.lost, ("not_finite", broken))
        self.known = self.known & finite
        self.values = np.where(finite, self.values, 0.0)

    @property
    def parts(self) -> Parts:
        """Named (n,) arrays that the value was made of, for explanations and learned blends."""
        if not isinstance(self.made_of, dict):
            self.made_of = self.made_of() if self.made_of else {}
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
    return known is everything(len(known)) or bool(np.logical_and.reduce(known))


def any_of(known: Mask) -> bool:
    """Whether the mask holds any candidate."""
    n = len(known)
    return n > 0 and (known is everything(n) or bool(known.any()))


def mask_of(known: Mask) -> Mask:
    """The same mask, as `everything` where it holds all."""
    return everything(len(known)) if np.logical_and.reduce(known) else known


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
        return Column(values, known, (), parts)
    lost = (("not_in_index", int((~known).sum())),)
    return Column(np.where(known, values, 0.0), known, lost, parts)


def complete_column(values: Values, reason: str | None = None) -> Column:
    """A column that knows every candidate; `reason` marks how its values had to be made."""
    lost = ((reason, len(values)),) if reason else ()
    return Column(values, everything(len(values)), lost)


def as_added(column: Column, how: Normalise, factor: float) -> Weighed:
    """How `kernels.added_up` makes this column comparable and weighs it; of a candidate or more."""
    way = _COMPILED_WAYS.get(how)
    if way is None or column.scaled or not complete(column.known):
        return normalised(column, how), AS_IT_IS, 1.0, factor
    return column.values, way, column.unit, factor


def normalised(column: Column, how: Normalise) -> Values:
    """Values (n,) over this request's candidates; the unknown get the mean of the known.

    The mean moves an item neither up nor down against those that the signal does know.
    """
    if column.scaled is None:
        column.scaled = {}
    scaled = column.scaled.get(how)
    if scaled is None:
        scaled = column.scaled[how] = _normalised(column, how)
    return scaled


def _normalised(column: Column, how: Normalise) -> Values:
    way = _scale(column.unit) if how == "scale" else _WAYS[how]
    if len(column.known) and column.complete:  # nearly always: there is nothing to fill in
        return way(column.values)
    known = column.values[column.known]
    out = np.zeros(len(column.values), dtype=np.float64)
    if not len(known):
        return out
    scaled = way(known)
    out[column.known] = scaled
    # Rounding takes the mean of equal values to one beside them, which would be an opinion.
    out[~column.known] = np.clip(scaled.mean(), scaled.min(), scaled.max())
    return out


def _minmax(values: Values) -> Values:
    """Lowest 0, highest 1; all equal: 0."""
    return comparable(values, STRETCHED, 1.0, LARGEST)


def _zscore(values: Values) -> Values:
    """Mean 0, standard deviation 1; all equal: 0."""
    size = np.abs(values).max()
    if size == 0:
        return np.zeros_like(values)
    scaled = values / size  # squares of huge scores would overflow
    spread = scaled.std()
    # Rounding leaves equal values a spread near 1e-17, which is no spread.
    return (scaled - scaled.mean()) / spread if spread > 1e-12 else np.zeros_like(values)


def _rank(values: Values) -> Values:
    """Highest 1, lowest 0, evenly spaced; equal values share the mean of their places."""
    if len(values) == 1:
        return np.zeros(1)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    places = np.cumsum(counts) - (counts + 1) / 2
    return np.asarray(places[inverse] / (len(values) - 1), dtype=np.float64)


def _scale(unit: float) -> Callable[[Values], Values]:
    """Lowest 0, one unit above it 1: equal distances count the same in every request."""
    return lambda values: comparable(values, BY_UNIT, unit, LARGEST)


def _none(values: Values) -> Values:
    """As they are, up to a size that no weights and no sum can carry to infinity."""
    return comparable(values, AS_IT_IS, 1.0, LARGEST)


_COMPILED_WAYS: Final[dict[Normalise, int]] = {
    "minmax": STRETCHED,
    "scale": BY_UNIT,
    "none": AS_IT_IS,
}
_WAYS: Mapping[str, Callable[[Values], Values]] = {
    "minmax": _minmax,
    "zscore": _zscore,
    "rank": _rank,
    "none": _none,
}


def input_names(column: Column) -> list[str]:
    """Every input that this column has."""
    return [SCALED, RANK, VALUE, *column.parts]


def known_inputs(signal: str) -> list[str] | None:
    """Every input that a signal can have; None where that goes by what the shop has: its types of
    events, its modalities."""
    if signal in ("popular", "repeat", "looks", "depicts"):
        return None
    return [SCALED, RANK, VALUE, *_PARTS.get(signal, ())]


def input_of(column: Column, name: str, normalise: Normalise) -> Values | None:
    """One input (n,); None where the column has none of this name."""
    if name == SCALED:
        return normalised(column, normalise)
    if name == RANK:
        return normalised(column, "rank")
    if name == VALUE:
        return _filled(column.values, column.known)
    part = column.parts.get(name)
    return None if part is None else _filled(part, column.known)


def _filled(values: Values, known: Mask) -> Values:
    """The values, with the mean of the known ones where nothing is known."""
    if complete(known):
        return np.clip(values, -LARGEST, LARGEST)
    known_values = np.clip(values[known], -LARGEST, LARGEST)
    filled = np.full(len(values), known_values.mean() if len(known_values) else 0.0)
    filled[known] = known_values
    return filled
