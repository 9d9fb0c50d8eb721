"""engine_signal.py: the engine's scores, or its order where the scores cannot be trusted."""

import numpy as np

from reranker.signals.columns import Column, Missing, whole
from reranker.signals.context import Scene


def engine(scene: Scene) -> Column | Missing:
    """The engine's score where every candidate has one, else minus the position.

    The order of the candidates is the engine's word. Scores that contradict it (a rescored page)
    would change the order even with nothing to add, so then the order counts.
    """
    scores = [candidate.score for candidate in scene.request.candidates]
    by_rank = -np.arange(len(scores), dtype=np.float64)
    sent = [score for score in scores if score is not None]
    if not sent:
        return whole(by_rank)
    if len(sent) < len(scores):
        return whole(by_rank, "partial_scores")
    values = np.array(sent, dtype=np.float64)
    if (values[1:] > values[:-1]).any():
        return whole(by_rank, "scores_against_order")
    return whole(values)
