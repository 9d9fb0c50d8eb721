"""gate.py: context -> how much personal signals count here, from 0 to 1.

Undifferentiated personalisation hurts real queries: a history that has nothing to do with what is
searched for should not move it. Zero-attention models let a query attend to nothing (ZAM, Ai et
al. 2019); this is the same thought as a logistic function of few things that a person can read.
"""

import math
from typing import Annotated

import msgspec
import numpy as np

from reranker.runtime.budget import Unavailable
from reranker.signals.columns import Missing, any_of, complete
from reranker.signals.context import RankingContext, met_together

Weight = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """gate = floor + (1 - floor) / (1 + exp(-(bias + sum of weight x feature)))."""

    bias: Weight = -4.0
    closest: Weight = 6.0
    query: Weight = 2.0
    together: Weight = 1.0
    length: Weight = 0.0
    floor: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0

    def value(self, features: dict[str, float]) -> float:
        """From `floor` to 1."""
        total = self.bias + sum(getattr(self, name) * value for name, value in features.items())
        opened = 1.0 / (1.0 + math.exp(-min(max(total, -50.0), 50.0)))
        return self.floor + (1.0 - self.floor) * opened


def gate_features(context: RankingContext) -> dict[str, float]:
    """What a gate reads; empty without a history.

    closest: largest whitened cosine of a candidate with an item of the history. query: of the query
    with one. together: log(1 + 100 x the largest co-occurrence). length: log(1 + events).
    """
    if isinstance(context.history, Missing):
        return {}
    features = {"length": math.log1p(len(context.history.events))}
    if context.personal.learned is None or not len(context.history.rows):
        return features
    together = np.maximum.reduce(context.read(met_together), initial=0.0)
    features["together"] = math.log1p(100.0 * float(together))
    nearness = context.nearness
    if nearness is None:
        return features
    nearest, known = nearness
    if not any_of(known):
        return features
    features["closest"] = float(np.maximum.reduce(nearest if complete(known) else nearest[known]))
    if context.query:
        try:
            if context.query_encoded.known:  # else its vector says nothing
                features["query"] = context.query_nearness
        except Unavailable:  # the history speaks for itself
            return features
    return features
