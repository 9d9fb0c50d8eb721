"""cart_shop.py: a home of the small shop whose shoppers fill carts, and order some of them."""

from pathlib import Path

from support.shop import copy_home

from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.applications.applications import BESIDE
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.model.settings import TrainSettings
from reranker.model_selection.train import train

DAY = 86_400.0
NEWEST = 20_000 * DAY


def cart_shop(shop_home: Path, folder: Path) -> Path:
    """Sixty shoppers, two visits each, a week apart.

    Who puts running shoes (0-4) into the cart adds the kettle 16 to them and orders both; who puts
    an office chair (20-24) in adds the lamp 26, takes the lamp out again and leaves.
    """
    home = copy_home(shop_home, folder / "home")
    workspace = Workspace(home)
    histories = open_histories(workspace)
    for shopper in range(60):
        for week in (1, 0):
            begin = NEWEST - week * 7 * DAY - shopper * 600.0
            first = shopper % 5 if (shopper + week) % 2 else 20 + shopper % 5
            histories.append(_visit(f"u{shopper}", first, begin))
    histories.close()
    settings = TrainSettings(min_validation_shoppers=5, encoder_proof=False)
    train(workspace, settings, lambda _: None, counts_only=True, beside=BESIDE, progress=silent)
    return home


def _visit(user: str, first: int, begin: float) -> list[HistoryEvent]:
    second, orders = ("16", True) if first < 5 else ("26", False)
    steps = [("view", str(first)), ("cart", str(first)), ("cart", second)]
    if orders:
        steps += [("purchase", str(first)), ("purchase", second)]
    else:
        steps += [("uncart", second), ("view", second)]
    return [
        HistoryEvent(type=kind, item=item, time=begin + 60.0 * at, user=user)
        for at, (kind, item) in enumerate(steps)
    ]
