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


def whole(values: Values, reason: str | None = None, **parts: Values) -> Column:
    """A column that knows every candidate; `reason` marks how its values had to be made."""
    lost = ((reason, len(values)),) if reason else ()
    return Column(values, np.ones(len(values), dtype=bool), lost, dict(parts))
