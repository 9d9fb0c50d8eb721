"""learned.py: what `reranker train` published, as one thing."""

from dataclasses import dataclass

from reranker.model.item_statistics import ItemStatistics
from reranker.model.next_action import NextAction
from reranker.model.served_model import ServedModel


@dataclass(frozen=True, eq=False)
class Learned:
    """Model, item statistics and the next action's head of one version, over one index."""

    model: ServedModel
    statistics: ItemStatistics
    next_action: NextAction | None  # None where there were too few visits to learn from
