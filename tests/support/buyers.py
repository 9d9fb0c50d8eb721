"""buyers.py: invented customers who buy at their own rate and leave for good, as BG/NBD has it."""

import numpy as np

from reranker.events.events import HistoryEvent

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
