"""personal.py: what the served state knows of shoppers: model, habits, histories."""

from dataclasses import dataclass
from typing import Final, Protocol

from reranker.events import HistoryEvent
from reranker.habits import Habits
from reranker.next_action import NextAction
from reranker.served_model import ServedModel

LENGTH: Final = 50  # newest events that are read where no model says how many


class Recent(Protocol):
    """`Histories.recent`."""

    def __call__(
        self, user: str | None, session: str | None, n: int, before: float | None, /
    ) -> list[HistoryEvent]: ...


@dataclass(frozen=True, eq=False)
class Learned:
    """What `reranker train` published, together."""

    model: ServedModel
    habits: Habits
    next_action: NextAction | None  # None where there were too few visits to learn from


@dataclass(frozen=True, eq=False)
class Personal:
    """reason: why nothing learned is served. recent: none where no histories are read."""

    learned: Learned | None = None
    reason: str = "no_model"
    recent: Recent | None = None

    @property
    def length(self) -> int:
        """Newest events that are read."""
        return self.learned.model.length if self.learned else LENGTH
