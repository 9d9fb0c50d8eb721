"""learned.py: what `reranker train` published, as one thing."""

from dataclasses import dataclass

import numpy as np

from indexes.cached import lazily
from indexes.storage.arrays import Values
from reranker.model.item_statistics import ItemStatistics
from reranker.model.next_action import NextAction
from reranker.model.search_statistics import SearchStatistics
from reranker.model.served_model import ServedModel


@dataclass(frozen=True, eq=False)
class Learned:
    """Model, statistics of items and searches, and the next action's head of one version."""

    model: ServedModel
    statistics: ItemStatistics
    searches: SearchStatistics
    next_action: NextAction | None  # None where there were too few visits to learn from

    @lazily
    def weights_by_type(self) -> Values:
        """What an event counts, of each type that the statistics count."""
        weights = self.model.weights
        return np.array([weights.get(name, 0.0) for name in self.statistics.card.types])
