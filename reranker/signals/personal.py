"""personal.py: what this shopper did, and what all do, against each candidate.

They are asked only where there is what they need: `Signal.personal` and `Signal.learned`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from indexes.items.columns import ItemColumns
from indexes.kernels import kernels
from indexes.modalities.whitening import row_by_row
from indexes.storage.arrays import Mask, Rows, Values
from reranker.signals.columns import (
    Column,
    Missing,
    Parts,
    any_of,
    complete,
    everything,
    indexed_only,
    over_all,
)
from reranker.signals.context import RankingContext
from reranker.signals.relevance import HALF_LIFE_DAYS
from reranker.signals.user_profiles import UserProfile

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
    return _of_known(context, np.log1p(100.0 * context.met_together), known)


def popular(context: RankingContext) -> Column | Missing:
    """log(1 + events with the item, each counting its type's weight, halved every 90 days)."""
    known = _could_be_met(context)
    if isinstance(known, Missing):
        return known
    statistics = context.learned.statistics
    values = statistics.popularity(context.rows, context.learned.weights_by_type)
    return _of_known(context, values, known, lambda: statistics.counts_by_type(context.rows))


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
    cosines, nearest, known = nearness
    if not any_of(known):
        return Missing("not_in_index")

    def parts() -> Parts:
        vectors, _ = context.item_vectors
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
    rows, columns = context.indexed_rows, context.index.columns
    category = _category_share(columns, profile, rows)
    brand = kernels.shares(columns.brand_keys, rows, *profile.brands)
    price = _price_nearness(columns, profile, rows)

    def parts() -> Parts:
        spread = {"brand": brand, "category": category, "price": price}
        return {name: over_all(part, context.indexed) for name, part in spread.items()}

    return indexed_only(over_all(brand + category + price, context.indexed), context.indexed, parts)


def _category_share(columns: ItemColumns, profile: UserProfile, rows: Rows) -> Values:
    """Mean over the candidate's levels of the share of the history below that level."""
    return columns.categories.mean_shares(rows, *profile.categories)


def _price_nearness(columns: ItemColumns, profile: UserProfile, rows: Rows) -> Values:
    """exp(-|log price - the history's median log price|); 0 where a price is not known."""
    if profile.price is None:
        return np.zeros(len(rows))
    return kernels.price_nearness(columns.price, rows, profile.price)
