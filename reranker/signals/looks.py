"""looks.py: vectors that no text made -> nearness to what the shopper met, and to the query.

An index may hold several modalities (image, audio, ...). Two items are as near as the mean of their
whitened cosines, each counting its modality's weight, over the modalities that both have.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from indexes.items.index import ItemIndex
from indexes.kernels import kernels
from indexes.modalities.vectors import ModalityVectors
from indexes.storage.arrays import Floats, Mask, Rows, Values
from reranker.signals.columns import Column, Missing, Parts, mask_of
from reranker.signals.context import RankingContext
from reranker.signals.user_profiles import RECENT

NO_VECTORS: Final = Missing("no_item_vectors", degraded=False)
_HALF_KNOWN: Final = 0.5  # of the query's tokens: from there on its vector counts in full


class LookNearness(NamedTuple):
    """cosines (n, h): of candidates with items met; NaN where they share no modality.

    by_modality: of each, the largest (n,); NaN where there is none.
    """

    cosines: Floats
    by_modality: dict[str, Values]


def weighed(index: ItemIndex) -> list[ModalityVectors]:
    """The modalities that count."""
    return [vectors for vectors in index.modalities.values() if vectors.weight > 0]


def looks(context: RankingContext) -> Column | Missing:
    """Whitened cosine with the nearest of the newest items met, by all that is no text."""
    modalities = weighed(context.index)
    if not modalities:
        return NO_VECTORS
    met = context.known_history.profile.rows[:RECENT]
    if not len(met):
        return Missing("unknown_history")
    nearness = look_nearness(modalities, context.rows, met)
    if nearness is None:
        return Missing("history_without_vectors", degraded=False)
    cosines = nearness.cosines
    known = _any_known(cosines, axis=1)
    if not known.any():
        return Missing("candidates_without_vectors", degraded=False)

    def parts() -> Parts:
        mean, newest = np.full(len(known), np.nan), _any_known(cosines, axis=0)
        mean[known] = np.nanmean(cosines[known], axis=1)
        others = {"mean": mean, "last": cosines[:, int(newest.argmax())]}
        return {name: _filled(part) for name, part in (others | nearness.by_modality).items()}

    nearest = np.zeros(len(known))
    nearest[known] = np.nanmax(cosines[known], axis=1)
    return Column(nearest, mask_of(known), (), parts)


def look_nearness(
    modalities: Sequence[ModalityVectors], rows: Rows, met: Rows
) -> LookNearness | None:
    """How near rows (n,), -1 outside the index, are to rows met (h,); None where none of those met
    has a vector."""
    total = np.zeros((len(rows), len(met)))
    weights = np.zeros((len(rows), len(met)))
    by_modality = {}
    for modality in modalities:
        there = modality.known(met)
        if not there.any():
            continue
        vectors, known = modality.rows(rows)
        towards, middles = modality.towards(met[there])
        cosines = kernels.dots(vectors, towards) - middles
        cosines /= modality.white_lengths(rows)[:, None]
        both = known[:, None] & there
        total[both] += modality.weight * np.clip(cosines, -1.0, 1.0)[known].reshape(-1)
        weights[both] += modality.weight
        by_modality[modality.name] = np.where(
            known, np.clip(cosines.max(axis=1), -1.0, 1.0), np.nan
        )
    if not by_modality:
        return None
    joined = np.full(total.shape, np.nan)
    np.divide(total, weights, out=joined, where=weights > 0)
    return LookNearness(joined, by_modality)


def depicts(context: RankingContext) -> Column | Missing:
    """How well the query's words fit what is no text, such as the picture: the cosine of the query
    in the modality's own text tower, above the catalogue's median for this query, over how far the
    catalogue's cosines with it spread (5 % to 95 %)."""
    if not context.query:
        return Missing("no_query")
    towers = [
        (modality, context.towers[modality.name])
        for modality in weighed(context.index)
        if modality.name in context.towers
    ]
    if not towers:
        return Missing("no_text_tower", degraded=False)
    n = len(context.ids)
    total, weights, trust, parts = np.zeros(n), np.zeros(n), 0.0, {}
    for modality, tower in towers:
        encoded = tower.encoded(context.query)
        trust = max(trust, min(1.0, encoded.known / _HALF_KNOWN))
        vectors, own = modality.rows(context.rows)
        cosines = np.vecdot(vectors, encoded.vector).astype(np.float64)
        median, spread = modality.spread(encoded.vector)
        total[own] += modality.weight * (cosines[own] - median) / spread
        weights[own] += modality.weight
        parts[modality.name] = _filled(np.where(own, cosines, np.nan))
    known = weights > 0
    if not known.any():
        return Missing("candidates_without_vectors", degraded=False)
    trust *= 1.0 - context.models_share  # model numbers look like nothing
    if not trust:
        return Missing("unknown_query")
    values = np.zeros(n)
    np.divide(total, weights, out=values, where=known)
    return Column(values, mask_of(known), (), parts, trust=trust)


def _any_known(cosines: Floats, axis: int) -> Mask:
    return np.asarray((~np.isnan(cosines)).any(axis=axis))


def _filled(part: Values) -> Values:
    """The mean of what is known in the place of what is not."""
    known = ~np.isnan(part)
    return np.where(known, part, part[known].mean() if known.any() else 0.0)
