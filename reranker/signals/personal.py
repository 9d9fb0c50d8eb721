"""personal.py: what this shopper did, and what all do, against each candidate.

They are asked only where there is what they need: `Signal.personal` and `Signal.learned`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from indexes.kernels.numpy_kernels import MEAN_SHARE, PRICE, SHARE, Program
from indexes.modalities.whitening import row_by_row
from indexes.storage.arrays import Mask, Values
from reranker.signals.columns import (
    Column,
    Missing,
    Parts,
    any_of,
    complete,
    everything,
    indexed_only,
)
from reranker.signals.context import RankingContext, met_together
from reranker.signals.relevance import HALF_LIFE_DAYS

_DAY: Final = 86_400.0


def behaviour(context: RankingContext) -> Column | Missing:
    """User vector . item vector, minus the mean over the candidates: log odds of being next."""
    if not context.learned.model.has_encoder:
        return Missing("no_encoder")
    vectors, known = context.item_vectors
    if not any_of(known):
        return Missing("not_in_index")
    affinities = context.learned.model.affinities(context.user_vector, context.rows, vectors)
    values = affinities.astype(np.float64)
    known_values = values if complete(known) else values[known]
    return indexed_only(values - known_values.mean(), known)


def repeat(context: RankingContext) -> Column | Missing:
    """Own earlier events with the item, each type times its learned lift, halved every 90 days.

    A lift is the log of how much more often than by chance shoppers here come back to what they
    viewed, bought, ...: below 0 where bought is done. Sums above 0 count as log(1 + sum): that a
    shopper looked twice does not make it what is searched for now.
    """
    history, lifts = context.known_history, context.learned.statistics.card.lifts
    n, items = len(context.ids), history.profile.items
    places = {} if set(context.ids).isdisjoint(items) else history.profile.places
    met = [(at, places[item]) for at, item in enumerate(context.ids) if item in places]
    worth = np.exp2(-history.ages / (_DAY * HALF_LIFE_DAYS)).tolist() if met else []
    counts: dict[str, Values] = {}
    for candidate, events in met:
        for place in events:
            column = counts.setdefault(history.events[place].type, np.zeros(n))
            column[candidate] += worth[place]
    parts = {
        kind: lifts.get(kind, 0.0) * np.minimum(column, 1.0) for kind, column in counts.items()
    }
    total = sum(parts.values(), np.zeros(n))
    values = np.where(total > 0, np.log1p(np.maximum(total, 0.0)), total) if parts else total
    return Column(values, everything(n), (), parts)


def together(context: RankingContext) -> Column | Missing:
    """How often shoppers met the candidate with the newest items of this history; log(1 + sum)."""
    if not len(context.known_history.rows):
        return Missing("unknown_history")
    known = _could_be_met(context)
    if isinstance(known, Missing):
        return known
    return _of_known(context, np.log1p(100.0 * context.read(met_together)), known)


def popular(context: RankingContext) -> Column | Missing:
    """log(1 + events with the item, each counting its type's weight, halved every 90 days)."""
    known = _could_be_met(context)
    if isinstance(known, Missing):
        return known
    statistics = context.learned.statistics
    parts = partial(statistics.counts_by_type, context.rows)
    return _of_known(context, context.read(popularity), known, parts)


def popularity(context: RankingContext) -> Program:
    """How often shoppers met the item."""
    return context.learned.statistics.popularity(context.learned.weights_by_type)


def _could_be_met(context: RankingContext) -> Mask | Missing:
    """Which candidates (n,) shoppers had a chance to meet before the training."""
    if not any_of(context.indexed):
        return Missing("not_in_index")
    known = context.could_be_met
    return known if any_of(known) else Missing("too_new", degraded=False)


def _of_known(
    context: RankingContext,
    values: Values,
    known: Mask,
    parts: Parts | Callable[[], Parts] | None = None,
) -> Column:
    """A column (n,) of these; what is new in the shop is unknown without a word."""
    column = indexed_only(values, context.indexed, parts)
    return column if complete(known) else replace(column, known=known)


def clicked(context: RankingContext) -> Column | Missing:
    """What others looked at, put in the cart or bought after this search; log(1 + 100 x share)."""
    if not context.query:
        return Missing("no_query")
    if not any_of(context.indexed):
        return Missing("not_in_index")
    taken = context.learned.searches.taken(context.query, context.query_encoded.vector)
    if not len(taken.numbers):
        return Missing("unseen_query", degraded=False)
    amounts = context.learned.statistics.amounts_of(taken, context.rows)
    return indexed_only(np.log1p(100.0 * amounts), context.indexed)


def intent(context: RankingContext) -> Column | Missing:
    """What the encoder foresees after this search alone, minus the mean: log odds of being next."""
    model = context.learned.model
    if not context.query:
        return Missing("no_query")
    if not model.has_encoder:
        return Missing("no_encoder")
    if not model.reads_searches:
        return Missing("no_searches", degraded=False)
    vectors, known = context.item_vectors
    if not any_of(known):
        return Missing("not_in_index")
    vector = model.search_vector(context.query, context.query_vectors)
    values = model.affinities(vector, context.rows, vectors).astype(np.float64)
    return indexed_only(values - (values if complete(known) else values[known]).mean(), known)


def near(context: RankingContext) -> Column | Missing:
    """Cosine with the nearest item of the history, whitened; its parts are the other nearnesses."""
    nearness = context.nearness
    if nearness is None:
        return Missing("unknown_history")
    nearest, known = nearness
    if not any_of(known):
        return Missing("not_in_index")

    def parts() -> Parts:
        vectors, cosines = context.item_vectors[0], context.nearnesses()
        raw = np.max(row_by_row(vectors, context.known_history.profile.vectors.T), axis=1)
        others = {"mean": cosines.mean(axis=1), "last": cosines[:, 0], "raw": raw}
        return {name: part.astype(np.float64) for name, part in others.items()}

    return indexed_only(nearest, known, parts)


def taste(context: RankingContext) -> Column | Missing:
    """Share of the brand and of the category levels in the history, and nearness of the price."""
    profile = context.known_history.profile
    if not len(profile.rows):
        return Missing("unknown_history")
    if not any_of(context.indexed):
        return Missing("not_in_index")
    category, brand = context.read(category_share), context.read(brand_share)
    price = np.zeros(len(context.ids)) if profile.price is None else context.read(price_nearness)

    def parts() -> Parts:
        return {"brand": brand, "category": category, "price": price}

    return indexed_only(brand + category + price, context.indexed, parts)


def brand_share(context: RankingContext) -> Program:
    """The brand's share of the history."""
    return SHARE, context.index.columns.brand_keys, *context.known_history.profile.brands


def category_share(context: RankingContext) -> Program:
    """Mean over the item's levels of the share of the history below that level."""
    levels = context.index.columns.categories
    return MEAN_SHARE, levels, *context.known_history.profile.categories


def price_nearness(context: RankingContext) -> Program | None:
    """exp(-|log price - the history's median log price|); 0 where a price is not known."""
    usual = context.known_history.profile.price
    return None if usual is None else (PRICE, context.index.columns.price, usual)
