"""churn_examples.py: events -> what is known of each customer at a moment, and whether they left.

An example is a customer at a moment t0. Its inputs read events before t0 alone, its label events
from t0 to t0 + horizon alone: `ChurnEvents.before` and `ChurnEvents.between` are the only doors,
and `check_no_leak` proves of an input function that it uses nothing else.
"""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from indexes.errors import Failure
from indexes.storage.arrays import Floats, Ints, Mask
from reranker.events.events import HistoryEvent

DAY: Final = 86_400.0
WINDOWS: Final = (7, 30, 90, 180)  # days before the moment
PURCHASE, CANCEL, VIEW, CART, SEARCH, OTHER = range(6)
_KINDS: Final = {
    "purchase": PURCHASE,
    "cancel": CANCEL,
    "view": VIEW,
    "cart": CART,
    "search": SEARCH,
}


@dataclass(frozen=True, eq=False)
class ChurnEvents:
    """Every customer's events, one customer after the other, oldest first.

    owner, kinds, items, times (epoch seconds), values (price x quantity) are (events,).
    """

    customers: list[str]
    owner: Ints
    kinds: Ints
    items: Ints
    times: Floats
    values: Floats

    def __len__(self) -> int:
        return len(self.times)

    def chosen(self, mask: Mask) -> "ChurnEvents":
        """The same customers with some of the events."""
        owner, kinds, items = self.owner[mask], self.kinds[mask], self.items[mask]
        return ChurnEvents(self.customers, owner, kinds, items, self.times[mask], self.values[mask])

    def before(self, moment: float) -> "ChurnEvents":
        """What was known just before a moment."""
        return self.chosen(self.times < moment)

    def between(self, begin: float, end: float) -> "ChurnEvents":
        """What happened from `begin` on, before `end`."""
        return self.chosen((self.times >= begin) & (self.times < end))


def churn_events(events: Iterable[tuple[str, HistoryEvent]]) -> ChurnEvents:
    """Events in any order, with whose they are; one without price or quantity is worth 0 or one."""
    customers: dict[str, int] = {}
    items: dict[str, int] = {}
    numbers = [array("q") for _ in range(3)]
    amounts = [array("d") for _ in range(2)]
    for name, event in events:
        numbers[0].append(customers.setdefault(name, len(customers)))
        numbers[1].append(_KINDS.get(event.type, OTHER))
        numbers[2].append(items.setdefault(event.item or "", len(items)))
        quantity = 1.0 if event.quantity is None else event.quantity
        amounts[0].append(event.time)
        amounts[1].append((event.price or 0.0) * quantity)
    owner, kinds, item = (np.array(column, np.int64) for column in numbers)
    times, values = (np.array(column, np.float64) for column in amounts)
    order = np.lexsort((times, owner))
    columns = (owner[order], kinds[order], item[order])
    return ChurnEvents(list(customers), *columns, times[order], values[order])


RFM: Final = ("recency", "frequency", "tenure", "monetary")
NAMES: Final = (
    *RFM,
    *("purchase_days", "mean_gap", "gap_spread", "overdue", "last_value", "items", "repeat_share"),
    *(f"orders_{days}" for days in WINDOWS),
    *(f"lines_{days}" for days in WINDOWS),
    *(f"spend_{days}" for days in WINDOWS),
    *("cancels", "cancels_90", "seen"),
    *(f"{kind}_{days}" for kind in ("views", "carts", "searches") for days in WINDOWS[:3]),
)


@dataclass(frozen=True, eq=False)
class Inputs:
    """Of customers (n,) at one moment each, the inputs (n, len(NAMES)); NaN where unknown.

    values (n,): mean spend of 30 days since the first purchase. first, last (n,): days of BG/NBD.
    """

    customers: Ints
    columns: Floats
    values: Floats

    def column(self, name: str) -> Floats:
        """One input (n,)."""
        return self.columns[:, NAMES.index(name)]


def inputs_at(events: ChurnEvents, moment: float, active_days: float) -> Inputs:
    """Of every customer with a purchase in the `active_days` before the moment.

    recency, tenure: days since the last and the first purchase; frequency: purchases on further
    days; monetary: mean value of an order (an order: purchases of one time); mean_gap, gap_spread:
    days between days with purchases; overdue: recency / mean gap; seen: days since any event.
    """
    known = events.before(moment)
    orders = _orders(known)
    n = len(events.customers)
    last = np.full(n, -np.inf)
    np.maximum.at(last, orders.owner, orders.times)
    customers = np.flatnonzero(last >= moment - active_days * DAY)
    columns = {name: np.zeros(n) for name in NAMES}
    _rfm(columns, orders, moment)
    _gaps(columns, orders)
    _items(columns, known)
    _windows(columns, known, orders, moment)
    inputs = np.column_stack([columns[name][customers] for name in NAMES])
    months = np.maximum(columns["tenure"], 30.0) / 30.0
    spent = np.bincount(orders.owner, orders.values, minlength=n) / months
    return Inputs(customers, inputs, spent[customers])


def left(events: ChurnEvents, customers: Ints, moment: float, days: float) -> Mask:
    """Whether each of these (n,) bought nothing in the days from the moment on."""
    later = events.between(moment, moment + days * DAY)
    bought = np.zeros(len(events.customers), bool)
    bought[later.owner[later.kinds == PURCHASE]] = True
    return ~bought[customers]


def _orders(events: ChurnEvents) -> ChurnEvents:
    """Purchases of one time as one, with the sum of their values."""
    bought = events.chosen(events.kinds == PURCHASE)
    new = np.ones(len(bought), bool)
    same = (bought.owner[1:] == bought.owner[:-1]) & (bought.times[1:] == bought.times[:-1])
    new[1:] = ~same
    place = np.cumsum(new) - 1
    sums = np.bincount(place, bought.values, minlength=int(new.sum())).astype(np.float64)
    return replace(bought.chosen(new), values=sums)


def _rfm(columns: dict[str, Floats], orders: ChurnEvents, moment: float) -> None:
    n = len(columns["recency"])
    count = np.bincount(orders.owner, minlength=n)
    spent = np.bincount(orders.owner, orders.values, minlength=n)
    first, last = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(first, orders.owner, orders.times)
    np.maximum.at(last, orders.owner, orders.times)
    with np.errstate(invalid="ignore"):
        columns["recency"][:] = (moment - last) / DAY
        columns["tenure"][:] = (moment - first) / DAY
    columns["monetary"][:] = spent / np.maximum(count, 1)
    latest = np.zeros(n)
    latest[orders.owner] = orders.values  # the last one of each stays
    columns["last_value"][:] = latest


def _gaps(columns: dict[str, Floats], orders: ChurnEvents) -> None:
    """By days with a purchase, so that two orders of one day are one visit to the shop."""
    n = len(columns["recency"])
    day = np.floor(orders.times / DAY)
    new = np.ones(len(day), bool)
    new[1:] = (day[1:] != day[:-1]) | (orders.owner[1:] != orders.owner[:-1])
    owner, day = orders.owner[new], day[new]
    days = np.bincount(owner, minlength=n).astype(np.float64)
    columns["purchase_days"][:] = days
    columns["frequency"][:] = np.maximum(days - 1, 0)
    inner = owner[1:] == owner[:-1]
    gap, whose = np.diff(day)[inner], owner[1:][inner]
    count = np.bincount(whose, minlength=n).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(whose, gap, minlength=n) / count
        square = np.bincount(whose, gap**2, minlength=n) / count
        spread = np.sqrt(np.maximum(square - mean**2, 0.0))
        columns["mean_gap"][:] = mean  # NaN before the second
        columns["gap_spread"][:] = np.where(count > 1, spread, np.nan)
        columns["overdue"][:] = columns["recency"] / mean


def _items(columns: dict[str, Floats], known: ChurnEvents) -> None:
    n = len(columns["recency"])
    bought = known.chosen(known.kinds == PURCHASE)
    lines = np.bincount(bought.owner, minlength=n)
    width = int(bought.items.max(initial=0)) + 1
    pairs = np.unique(bought.owner * width + bought.items)
    columns["items"][:] = np.bincount(pairs // width, minlength=n)
    columns["repeat_share"][:] = 1.0 - columns["items"] / np.maximum(lines, 1)


def _windows(
    columns: dict[str, Floats], known: ChurnEvents, orders: ChurnEvents, moment: float
) -> None:
    n = len(columns["recency"])

    def count(mask: Mask, days: float) -> Floats:
        recent = mask & (known.times >= moment - days * DAY)
        return np.bincount(known.owner[recent], minlength=n).astype(np.float64)

    for days in WINDOWS:
        recent = orders.times >= moment - days * DAY
        columns[f"orders_{days}"][:] = np.bincount(orders.owner[recent], minlength=n)
        sums = np.bincount(orders.owner[recent], orders.values[recent], minlength=n)
        columns[f"spend_{days}"][:] = sums
        columns[f"lines_{days}"][:] = count(known.kinds == PURCHASE, days)
    for name, kind in (("views", VIEW), ("carts", CART), ("searches", SEARCH)):
        for days in WINDOWS[:3]:
            columns[f"{name}_{days}"][:] = count(known.kinds == kind, days)
    columns["cancels"][:] = count(known.kinds == CANCEL, np.inf)
    columns["cancels_90"][:] = count(known.kinds == CANCEL, 90)
    last = np.full(n, -np.inf)
    np.maximum.at(last, known.owner, known.times)
    columns["seen"][:] = (moment - last) / DAY


InputFunction = Callable[[ChurnEvents, float, float], Inputs]


class Leak(Failure):
    """An input reads what comes after its moment."""

    code = "leak"


def check_no_leak(
    inputs: InputFunction, events: ChurnEvents, moment: float, active_days: float
) -> None:
    """Leak where inputs change with the events from the moment on.

    They are worked out of all events, and again with everything from the moment on taken away:
    what knows only the past cannot tell the two apart.
    """
    whole = inputs(events, moment, active_days)
    past = inputs(events.before(moment), moment, active_days)
    if not np.array_equal(whole.customers, past.customers):
        raise Leak("Who counts as active at a moment depends on events after it.", field="active")
    names = NAMES if whole.columns.shape[1] == len(NAMES) else range(whole.columns.shape[1])
    changed = [
        str(name)
        for name, one, other in zip(names, whole.columns.T, past.columns.T, strict=True)
        if not np.array_equal(one, other, equal_nan=True)
    ]
    if changed:
        raise Leak(
            f"The inputs {', '.join(changed)} read events from the moment on.",
            field=changed[0],
            hint="An input may read `events.before(moment)` alone.",
        )


@dataclass(frozen=True, eq=False)
class Examples:
    """customers, moments (epoch seconds), left, values (n,) and inputs (n, d)."""

    customers: Ints
    moments: Floats
    inputs: Floats
    values: Floats
    left: Mask

    def __len__(self) -> int:
        return len(self.customers)

    def at(self, mask: Mask) -> "Examples":
        """Some of them."""
        who, when, inputs = self.customers[mask], self.moments[mask], self.inputs[mask]
        return Examples(who, when, inputs, self.values[mask], self.left[mask])


def examples_at(
    events: ChurnEvents, moments: Iterable[float], days: float, active_days: float
) -> Examples:
    """Every active customer at each of these moments, whose label windows must have been seen."""
    parts = []
    for moment in moments:
        check_no_leak(inputs_at, events, moment, active_days)
        inputs = inputs_at(events, moment, active_days)
        when = np.full(len(inputs.customers), moment)
        gone = left(events, inputs.customers, moment, days)
        parts.append(Examples(inputs.customers, when, inputs.columns, inputs.values, gone))
    return Examples(
        np.concatenate([part.customers for part in parts]),
        np.concatenate([part.moments for part in parts]),
        np.concatenate([part.inputs for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.left for part in parts]),
    )
