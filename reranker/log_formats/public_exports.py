"""public_exports.py: exports of known shops, which many begin with -> events.

Retailrocket (events.csv), REES46 (monthly behaviour files, and its orders without a type), Online
Retail I and II (UCI). Columns are found whatever their case, blanks and order.
"""

import re
from datetime import datetime
from typing import Any, Final

from indexes.readers.file_forms import folded_name
from reranker.events.cleaning import BadEvent
from reranker.log_formats.actions import action_type
from reranker.log_formats.translated import Log, LogFormat, Translate, Translated, present
from reranker.log_formats.values import Row, folded, one_id

_MONTH_FIRST: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})\s+(\d{1,2}):(\d\d)(?::\d\d)?")
# What is on Online Retail's invoices beside goods: postage, discounts, fees, corrections.
_NO_GOODS: Final = frozenset(
    (
        *("POST", "DOT", "C2", "C3", "D", "M", "S", "B", "CRUK", "PADS", "AMAZONFEE", "ADJUST"),
        *("ADJUST2", "BANK CHARGES", "SP1002", "GIFT"),
    )
)


def _columns(row: Row) -> set[str]:
    return {folded_name(name) for name in row}


def _typed(word: Any, log: Log) -> Any:
    return (action_type(word, log.own) if isinstance(word, str) else None) or word


def _retailrocket(log: Log) -> Translate:
    def translate(row: Row) -> Translated:
        said = folded(row)
        event = {
            "user": one_id(said.get("visitorid")),
            "type": _typed(said.get("event"), log),
            "item": one_id(said.get("itemid")),
            "time": said.get("timestamp"),
        }
        return Translated([present(event)])

    return translate


def _rees46(log: Log) -> Translate:
    def translate(row: Row) -> Translated:
        said = folded(row)
        order = one_id(said.get("orderid"))
        event = {
            "user": one_id(said.get("userid")),
            "session": said.get("usersession", order),
            "type": _typed(said.get("eventtype"), log) or ("purchase" if order else None),
            "item": one_id(said.get("productid")),
            "time": said.get("eventtime"),
            "price": said.get("price"),
        }
        return Translated([present(event)])

    return translate


def _online_retail(_log: Log) -> Translate:
    def translate(row: Row) -> Translated:
        said = folded(row)
        invoice = str(one_id(said.get("invoice", said.get("invoiceno")))).strip().upper()
        code = str(one_id(said.get("stockcode")) or "").strip().upper()
        if code in _NO_GOODS or code.startswith(("TEST", "GIFT_")):
            return Translated(passed_over="lines that are no goods (postage, fees, vouchers)")
        if not invoice[:1].isdigit() and not invoice.startswith("C"):
            return Translated(passed_over="lines that are no order (corrections)")
        quantity, cancelled = _quantity(said.get("quantity")), invoice.startswith("C")
        if quantity is not None and quantity < 0 and not cancelled:
            return Translated(passed_over="lines that correct the stock")
        event = {
            "user": one_id(said.get("customerid")),
            "session": invoice,
            "type": "cancel" if cancelled else "purchase",
            "item": code,
            "time": _invoice_date(said.get("invoicedate")),
            "quantity": quantity,
            "price": said.get("price", said.get("unitprice")),
        }
        return Translated([present(event)])

    return translate


def _quantity(value: Any) -> float | None:
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        raise BadEvent("quantity", f"Quantity is {value!r}; a number is expected") from None


def _invoice_date(value: Any) -> Any:
    """12/1/2010 8:26 is the first of December: the set writes the month first."""
    match = _MONTH_FIRST.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return value
    month, day, year, hour, minute = (int(part) for part in match.groups()[:5])
    try:
        return datetime(year + 2000 * (year < 100), month, day, hour, minute).isoformat() + "Z"
    except ValueError:
        raise BadEvent(
            "time", f"InvoiceDate is {value!r}; month/day/year is expected, or ISO 8601"
        ) from None


RETAILROCKET: Final = LogFormat(
    "retailrocket",
    "Retailrocket",
    "event is the type, timestamp the time, visitorid the user, itemid the item",
    lambda row: {"timestamp", "visitorid", "event", "itemid"} <= _columns(row),
    _retailrocket,
    ("timestamp", "visitorid", "event", "itemid"),
)
REES46: Final = LogFormat(
    "rees46",
    "REES46",
    "event_type is the type (purchase in a file of orders), event_time the time, user_id the user, "
    "user_session or order_id the session, product_id the item, price the price",
    lambda row: (
        {"eventtime", "productid"} <= (names := _columns(row))
        and bool(names & {"eventtype", "orderid"})
        and "visitorid" not in names
    ),
    _rees46,
    ("event_time", "product_id"),
)
ONLINE_RETAIL: Final = LogFormat(
    "online-retail",
    "Online Retail (UCI)",
    "Invoice is the session and, with a C, a cancel, else a purchase; InvoiceDate is the time, "
    "Customer ID the user, StockCode the item, Price and Quantity as here",
    lambda row: {"stockcode", "invoicedate", "quantity"} <= _columns(row),
    _online_retail,
    ("StockCode", "InvoiceDate", "Quantity"),
)
