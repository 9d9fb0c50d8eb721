"""null_ids.py: events -> ids such as null and undefined that stand for many shoppers."""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from indexes.names import is_null_word
from reranker.events.events import HistoryEvent
from reranker.histories.histories import visits

_LEAST: Final = 20  # events; of fewer nothing can be told
_BESIDE: Final = 10  # sessions (or users) beside one id, which tell with fewer events, too
_MANY: Final = 10  # times as many visits as others have
_FLOAT: Final = re.compile(r"\d+\.0", re.ASCII)
_HELD: Final = 10_000  # names that are remembered beside one id


def written_as_floats(users: Sequence[str]) -> str | None:
    """A warning where every user is a number with ".0" behind it: no such id is anybody's."""
    if not users or not all(_FLOAT.fullmatch(name) for name in users):
        return None
    return (
        f"every user is written like {users[0]!r}, as data frames write numbers with gaps: events "
        f"and requests that say {users[0].removesuffix('.0')!r} are another shopper's"
    )


@dataclass
class _Seen:
    beside: set[str] = field(default_factory=set)  # of a user the sessions, of a session the users
    times: "array[float]" = field(default_factory=lambda: array("d"))


class NullIds:
    """Users and sessions whose id a program may have written for want of one."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}

    def add(self, event: HistoryEvent) -> None:
        """Take the next event."""
        for kind, name, other in (
            ("user", event.user, event.session),
            ("session", event.session, event.user),
        ):
            if name is not None and is_null_word(name):
                seen = self._seen.setdefault((kind, name), _Seen())
                seen.times.append(event.time)
                if other is not None and len(seen.beside) < _HELD:
                    seen.beside.add(other)

    def warnings(self, all_visits: int, shoppers: int, gap_minutes: float) -> list[str]:
        """One for each id that cannot be one shopper's, the commonest first.

        all_visits: of so many shoppers, those of the id among them.
        """
        warnings = []
        for (kind, name), seen in self._seen.items():
            events = len(seen.times)
            beside = len(seen.beside)
            if events < _LEAST and beside < _BESIDE:
                continue
            count = visits(sorted(seen.times), gap_minutes)[-1] + 1
            usual = (all_visits - count) / max(1, shoppers - 1)
            if beside > 1 or count >= max(_LEAST, _MANY * usual):
                warnings.append((events, _warning(kind, name, events, beside, count)))
        return [warning for _, warning in sorted(warnings, key=lambda pair: -pair[0])]


def _warning(kind: str, name: str, events: int, beside: int, visit_count: int) -> str:
    others = "sessions" if kind == "user" else "users"
    many = f"{beside:,} {others}" if beside > 1 else f"{visit_count:,} visits"
    return (
        f"the {kind} {name!r} has {events:,} events of {many}; programs write that where they have "
        "no id. events.drop_null_ids = true takes such ids for absent"
    )
