"""instacart.py: Instacart's order lines, with the orders beside them -> purchases.

Lines (order_products__prior.csv) name an order and an item; orders.csv, in the same folder, says
whose it is, and how many days after the one before. There are no dates: each shopper's first order
gets one, on its day of the week and hour, and the days between orders stay as they are. So order
within a shopper and day of the week are real, and how shoppers lie to each other in time is not.
"""

from array import array
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexes.errors import Failure
from indexes.readers.bad_lines import BadLine
from indexes.readers.file_forms import folded_name
from indexes.readers.rows import read_rows
from reranker.events.cleaning import BadEvent
from reranker.log_formats.translated import Log, LogFormat, Translate, Translated, present
from reranker.log_formats.values import Row, folded, one_id

MADE_UP: Final = (
    "Instacart has no dates: each shopper's first order is put into the first week of 2015, later "
    "ones by days_since_prior_order; what compares shoppers in time means nothing"
)
_FIRST_DAY: Final = 1_420_329_600.0  # 2015-01-04, a Sunday
_DAY: Final = 86_400.0
_WEEK: Final = 7  # days between two orders where the file does not say
_ORDERS: Final = ("orders.csv", "orders.csv.gz", "orders.parquet")
_NEEDED: Final = ("order_id", "user_id", "order_number")


class _Orders:
    """order -> shopper and time, in arrays: there are millions."""

    def __init__(self, path: Path) -> None:
        columns: list[array[float]] = [array("d") for _ in range(6)]
        for _, row in read_rows(path, _NEEDED, _passed):
            said = folded(row)
            names = ("orderid", "userid", "ordernumber", "dayssincepriororder")
            more = ("orderdow", "orderhourofday")
            for column, name in zip(columns, (*names, *more), strict=True):
                column.append(_number(said.get(name)))
        order, user, number, since, weekday, hour = (
            np.nan_to_num(np.frombuffer(column), nan=missing)
            for column, missing in zip(columns, (0, 0, 0, _WEEK, 0, 0), strict=True)
        )
        by_user = np.lexsort((number, user))
        once = np.append(True, np.diff(order[by_user]) != 0) if len(order) else by_user > 0
        by_user = by_user[once]  # lines of one order, in a file of both
        days = _days(user[by_user], since[by_user], weekday[by_user])
        times = _FIRST_DAY + days * _DAY + hour[by_user] * 3600
        by_order = np.argsort(order[by_user], kind="stable")
        self._orders: npt.NDArray[np.float64] = order[by_user][by_order]
        self._users, self._times = user[by_user][by_order], times[by_order]

    def of(self, order: float) -> tuple[int, float] | None:
        """Whose the order is, and when it was; None where it is not there."""
        at = int(np.searchsorted(self._orders, order))
        if at == len(self._orders) or self._orders[at] != order:
            return None
        return int(self._users[at]), float(self._times[at])


def _days(
    users: npt.NDArray[np.float64], since: npt.NDArray[np.float64], weekday: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Days of each order (orders,), sorted by shopper and number, from the first day on."""
    first = np.append(True, np.diff(users) != 0) if len(users) else users > 0
    steps = np.where(first, weekday, since)
    total = np.cumsum(steps)
    starts = np.flatnonzero(first)
    before = np.repeat(total[starts] - steps[starts], np.diff(np.append(starts, len(users))))
    days: npt.NDArray[np.float64] = total - before
    return days


def _passed(_bad: BadLine) -> None:
    """Its orders are missing then, and every line of theirs says so."""


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _is_of(row: Row) -> bool:
    names = {folded_name(name) for name in row}
    lines = {"orderid", "productid", "addtocartorder"} <= names
    return lines or {"orderid", "userid", "ordernumber", "orderdow"} <= names


def _opened(log: Log) -> Translate:
    orders: list[_Orders] = []

    def translate(row: Row) -> Translated:
        said = folded(row)
        if "productid" not in said:
            raise Failure(
                f"{log.path or 'The body'} holds Instacart's orders, not what was in them.",
                hint="Import order_products__prior.csv, with orders.csv beside it.",
            )
        if not orders:
            orders.append(_Orders(_orders_beside(log.path, said)))
        number = _number(said.get("orderid"))
        found = orders[0].of(number)
        if found is None:
            raise BadEvent(
                "order_id", f"order_id is {said.get('orderid')!r}, which orders.csv does not have"
            )
        user, time = found
        event = {"user": str(user), "session": f"order-{int(number)}", "type": "purchase"}
        return Translated([present(event | {"item": one_id(said["productid"]), "time": time})])

    return translate


def _orders_beside(path: Path | None, first: Row) -> Path:
    if path is not None and {"userid", "ordernumber"} <= first.keys():
        return path  # a file of both
    for name in _ORDERS:
        if path is not None and (path.parent / name).exists():
            return path.parent / name
    if path is None:
        raise Failure(
            "Instacart's lines name orders, and only orders.csv says whose they are.",
            hint="Import both as files, in one folder: `reranker events import`.",
        )
    raise Failure(
        f"{path} names orders, and orders.csv, which says whose they are, is not beside it.",
        hint="Put orders.csv into the same folder and run the import again.",
    )


INSTACART: Final = LogFormat(
    "instacart",
    "Instacart",
    "product_id is the item, order_id names an order of orders.csv beside it, whose user_id is the "
    "user; times are made of days_since_prior_order",
    _is_of,
    _opened,
    ("order_id",),
)
