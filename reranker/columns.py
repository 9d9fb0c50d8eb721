"""columns.py: what a signal returns: a number a candidate, or the reason why there is none."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Column:
    """One signal over the candidates.

    values: (n,) finite where known; what stands elsewhere means nothing.
    known:  (n,) where the signal has an opinion.
    lost:   why some are not known, with their count, where that is worth telling the caller.
    parts:  named (n,) arrays that the value was made of, for the explanation.
    """

    values: Values
    known: Mask
    lost: tuple[tuple[str, int], ...] = ()
    parts: dict[str, Values] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Missing:
    """The signal says nothing about this request.

    degraded: whether the caller should hear of it; a catalogue without a field is no degradation.
    """

    reason: str
    degraded: bool = True


def over_all(values: npt.NDArray[np.generic], where: Mask) -> Values:
    """Values of some candidates (m,) spread over all of them (n,), zero elsewhere."""
    spread = np.zeros(len(where), dtype=np.float64)
    spread[where] = values
    return spread


def indexed_only(values: npt.NDArray[np.generic], known: Mask, **parts: Values) -> Column:
    """A column (n,) that knows some candidates; the index lacks the others."""
    lost = int((~known).sum())
    reasons = (("not_in_index", lost),) if lost else ()
    return Column(np.where(known, values, 0.0).astype(np.float64), known, reasons, dict(parts))


def whole(values: Values, reason: str | None = None, **parts: Values) -> Column:
    """A column that knows every candidate; `reason` marks how its values had to be made."""
    lost = ((reason, len(values)),) if reason else ()
    return Column(values, np.ones(len(values), dtype=bool), lost, dict(parts))
