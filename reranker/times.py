"""times.py: a time as people and logs write it -> epoch seconds."""

import math
from datetime import UTC, datetime

from indexes.quoting import shown
from reranker.errors import BadRequest


def epoch_seconds(time: float | str, field: str = "time") -> float:
    """Epoch seconds, or ISO 8601 (UTC where it names no zone); BadRequest for anything else."""
    if isinstance(time, str):
        try:
            parsed = datetime.fromisoformat(time)
        except ValueError:
            raise _unreadable(time, field) from None
        # Without a zone the moment is not known; a shop's servers usually mean UTC.
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(time):
        raise _unreadable(time, field)
    return float(time)


def _unreadable(time: object, field: str) -> BadRequest:
    return BadRequest(
        f"{field} is {shown(time)}; write epoch seconds or ISO 8601 with a zone, "
        'such as "2026-11-23T10:00:00Z".',
        field=field,
    )
