"""learned.py: what `reranker train` published, as one thing."""

from dataclasses import dataclass

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
