"""buyers.py: invented customers who buy at their own rate and leave for good, as BG/NBD has it."""

from pathlib import Path

import msgspec
import numpy as np
from support.shop import copy_home

from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.applications.applications import BESIDE
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.model.settings import TrainSettings

DAY = 86_400.0
BEGIN = 15_000 * DAY


def buyers(count: int = 400, days: float = 300.0, seed: int = 1) -> list[HistoryEvent]:
    """Purchases of one or two lines, a view before each, over so many days; oldest first."""
    rng = np.random.default_rng(seed)
    events: list[HistoryEvent] = []
    for number in range(count):
        rate, leaves = rng.gamma(1.5, 1 / 30.0), rng.beta(1.0, 6.0)
        day, user = float(rng.uniform(0, days * 0.7)), f"b{number}"
        while day < days:
            time = BEGIN + day * DAY
            item = str(int(rng.integers(60)))
            events.append(HistoryEvent(type="view", item=item, time=time - 60, user=user))
            for line in range(1 + number % 2):
                bought = str((int(item) + line) % 60)
                event = HistoryEvent(type="purchase", item=bought, time=time, user=user, price=10.0)
                events.append(event)
            if rng.random() < leaves:
                break
            day += float(rng.exponential(1 / max(rate, 1e-3)))
    return sorted(events, key=lambda event: event.time)


def buyers_shop(shop_home: Path, folder: Path) -> Path:
    """A home in this folder: the small shop with buyers, with one who left long ago and one who
    only looks, and what is learned of them without an encoder."""
    from reranker.model_selection.train import train  # torch, which few files need

    home = copy_home(shop_home, folder / "home")
    histories = open_histories(Workspace(home))
    histories.append(buyers())
    gone = HistoryEvent(type="purchase", item="1", time=BEGIN, user="gone")
    histories.append([gone, msgspec.structs.replace(gone, type="view", user="looks")])
    histories.close()
    settings = TrainSettings()
    train(
        Workspace(home), settings, lambda _: None, counts_only=True, beside=BESIDE, progress=silent
    )
    return home
