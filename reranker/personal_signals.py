"""personal_signals.py: what this shopper did, and what all do, against each candidate.

They are asked only where there is what they need: `Signal.personal` and `Signal.learned`.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from reranker.columns import Column, Missing, Values, indexed_only, over_all
from reranker.item_signals import HALF_LIFE_DAYS
from reranker.pasts import Past
from reranker.scenes import DECAY, RECENT, Scene

_DAY: Final = 86_400.0


def behaviour(scene: Scene) -> Column | Missing:
    """User vector . item vector, minus the mean over the candidates: log odds of being next."""
    vectors, known = scene.item_vectors
    if not known.any():
        return Missing("not_in_index")
    items = scene.learned.model.item_vectors(scene.rows, vectors)
    values = np.vecdot(items, scene.user_vector).astype(np.float64)
    return indexed_only(values - values[known].mean(), known)


def repeat(scene: Scene) -> Column | Missing:
    """Own earlier events with the item, each type times its learned lift, halved every 90 days.

    A lift is the log of how much more often than by chance shoppers here come back to what they
    viewed, bought, ...: below 0 where bought is done. Sums above 0 count as log(1 + sum): that a
    shopper looked twice does not make it what is searched for now.
    """
    past, lifts = scene.shopper, scene.learned.habits.card.lifts
    places = {item: place for place, item in enumerate(scene.ids)}
    worth = np.exp2(-past.ages(past.events) / (_DAY * HALF_LIFE_DAYS))
    counts: dict[str, Values] = {}
    for event, share in zip(past.events, worth.tolist(), strict=True):
        place = places.get(event.item or "")
        if place is not None:
            column = counts.setdefault(event.type, np.zeros(len(places)))
            column[place] += share
    parts = {
        kind: lifts.get(kind, 0.0) * np.minimum(column, 1.0) for kind, column in counts.items()
    }
    total = np.sum(list(parts.values()), axis=0) if parts else np.zeros(len(places))
    values = np.where(total > 0, np.log1p(np.maximum(total, 0.0)), total)
    return Column(values, np.ones(len(places), dtype=bool), (), parts)


def together(scene: Scene) -> Column | Missing:
    """How often shoppers met the candidate with the newest items of this history; log(1 + sum)."""
    if not len(scene.shopper.rows):
        return Missing("unknown_history")
    if not scene.indexed.any():
        return Missing("not_in_index")
    return indexed_only(np.log1p(100.0 * scene.met_together), scene.indexed)


def popular(scene: Scene) -> Column | Missing:
    """log(1 + events with the item, each counting its type's weight, halved every 90 days)."""
    if not scene.indexed.any():
        return Missing("not_in_index")
    habits, weights = scene.learned.habits, scene.learned.model.weights
    by_type = np.array([weights.get(name, 0.0) for name in habits.card.types])
    values, parts = habits.popularity(scene.rows, by_type)
    return indexed_only(values, scene.indexed, **parts)


def near(scene: Scene) -> Column | Missing:
    """Cosine with the nearest item of the history, whitened; its parts are the other nearnesses."""
    cosines, known = scene.nearness
    if not cosines.shape[1]:
        return Missing("unknown_history")
    if not known.any():
        return Missing("not_in_index")
    vectors, _ = scene.item_vectors
    raw = np.max(vectors @ scene.shopper.vectors[:RECENT].T, axis=1)
    parts = {"mean": cosines.mean(axis=1), "last": cosines[:, 0], "raw": raw}
    as_values = {name: part.astype(np.float64) for name, part in parts.items()}
    return indexed_only(cosines.max(axis=1), known, **as_values)


def taste(scene: Scene) -> Column | Missing:
    """Share of the brand and of the category levels in the history, and nearness of the price."""
    past = scene.shopper
    if not len(past.rows):
        return Missing("unknown_history")
    if not scene.indexed.any():
        return Missing("not_in_index")
    worth = np.power(DECAY, np.arange(len(past.rows)), dtype=np.float64)
    worth /= worth.sum()
    rows = scene.rows[scene.indexed]
    parts = {
        "brand": _brand_share(scene, past, worth, rows),
        "category": _category_share(scene, past, worth, rows),
        "price": _price_nearness(scene, past, rows),
    }
    spread = {name: over_all(part, scene.indexed) for name, part in parts.items()}
    values = spread["brand"] + spread["category"] + spread["price"]
    return indexed_only(values, scene.indexed, **spread)


def _brand_share(scene: Scene, past: Past, worth: Values, rows: npt.NDArray[np.int64]) -> Values:
    keys = scene.index.columns.brand_keys
    own, theirs = keys[past.rows], keys[rows]
    same = (theirs[:, None] == own) & (theirs != 0)[:, None]
    return np.asarray(same @ worth)


def _category_share(scene: Scene, past: Past, worth: Values, rows: npt.NDArray[np.int64]) -> Values:
    """Mean over the candidate's levels of the share of the history below that level."""
    categories = scene.index.columns.categories
    own, owner = categories.gather(past.rows)
    theirs, candidate = categories.gather(rows)
    if not len(own) or not len(theirs):
        return np.zeros(len(rows))
    levels, place = np.unique(own, return_inverse=True)
    share = np.bincount(place, worth[owner])
    at = np.minimum(np.searchsorted(levels, theirs), len(levels) - 1)
    found = np.where(levels[at] == theirs, share[at], 0.0)
    total = np.bincount(candidate, found, minlength=len(rows))
    return total / np.maximum(np.bincount(candidate, minlength=len(rows)), 1)


def _price_nearness(scene: Scene, past: Past, rows: npt.NDArray[np.int64]) -> Values:
    """exp(-|log price - the history's median log price|); 0 where a price is not known."""
    price = scene.index.columns.price
    own = price[past.rows]
    own = own[own > 0]
    theirs = price[rows].astype(np.float64)
    if not len(own):
        return np.zeros(len(rows))
    known = theirs > 0
    away = np.abs(np.log(np.where(known, theirs, 1.0)) - np.median(np.log(own)))
    return np.where(known, np.exp(-away), 0.0)
