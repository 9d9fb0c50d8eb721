"""cart_publishing.py: a training run -> the files of carts in its model version."""

from pathlib import Path

from reranker.applications.carts.baskets import Baskets, baskets_of
from reranker.applications.carts.cart_counts import same_shelf_lifts
from reranker.applications.carts.cart_fitting import fit_carts, numbered
from reranker.applications.carts.cart_model import CartCard, save
from reranker.applications.carts.ordered import fit_ordered, moments_of
from reranker.model_selection.train import TrainingRun
from reranker.training.item_statistics import shelves_of


def write_carts(run: TrainingRun, folder: Path) -> None:
    """Count, fit and write; nothing where no item was bought by enough shoppers."""
    minutes, settings = run.session_minutes, run.settings
    baskets, rows = numbered(baskets_of(run.sequences, minutes), settings.min_users)
    if not len(rows):
        return
    shelves = shelves_of(run.index)[rows]
    fitted = fit_carts(baskets, shelves, settings.min_users_together)
    ids = [run.data.catalogue.ids[row] for row in rows.tolist()]
    lifts = same_shelf_lifts(baskets, shelves)
    card = CartCard(
        item_ids=ids,
        total=fitted.counts.total,
        newest=_newest_day(baskets),
        session_minutes=minutes,
        weights=fitted.weights,
        chosen=fitted.chosen,
        same_shelf=[shelf for shelf, lift in lifts.items() if lift >= 1.0],
        ordered=fit_ordered(moments_of(run.sequences, minutes)),
        baskets=len(baskets),
    )
    save(folder, card, fitted.counts)


def _newest_day(baskets: Baskets) -> float:
    """The beginning of the day of the newest basket: no time of one shopper is published."""
    return float(baskets.times.max() // 86_400.0 * 86_400.0)
