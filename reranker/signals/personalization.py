"""personalization.py: what serving knows of shoppers: model, item statistics, histories."""

from dataclasses import dataclass, field
from typing import Final

from indexes.cached import lazily
from reranker.histories.histories import Recent, SamePerson
from reranker.model.learned import Learned
from reranker.signals.user_profiles import UserProfiles

PROFILES: Final = 1000
LENGTH: Final = 50  # newest events that are read where no model says how many


@dataclass(frozen=True, eq=False)
class Personal:
    """reason: why nothing learned is served. recent: none where no histories are read.

    profiles: what is kept worked out of stored histories. same_person: none where no histories are.
    """

    learned: Learned | None = None
    reason: str = "no_model"
    recent: Recent | None = None
    profiles: UserProfiles = field(default_factory=lambda: UserProfiles(PROFILES))
    same_person: SamePerson | None = None

    @lazily
    def length(self) -> int:
        """Newest events that are read."""
        return self.learned.model.length if self.learned else LENGTH


__all__ = ["Learned", "Personal"]
