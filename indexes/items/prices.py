"""prices.py: a price as shops write it -> a number, its currency kept apart, or None for what has
no single meaning.

"79,90 EUR", "$1,079.90", "1.079,90 €" and "1 079,90" say themselves which mark is decimal.
"1,234" and "1.234" do not: the other prices of the column decide, and where these say nothing,
the point is decimal and the comma is not.
"""

import re
import unicodedata
from collections import Counter
from math import isfinite
from typing import Any, Final

MAX_PRICE: Final = 1e12
_CODES: Final = frozenset(
    """AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP
    BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL
    GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW
    KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN
    NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK
    SGD SHP SLE SOS SRD SSP STN SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED
    VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWL""".split()
)
_SIGNS: Final = {
    "$": "USD", "US$": "USD", "€": "EUR", "EURO": "EUR", "EUROS": "EUR", "£": "GBP", "¥": "JPY",
    "₹": "INR", "RS": "INR", "RS.": "INR", "₽": "RUB", "РУБ": "RUB", "РУБ.": "RUB",
    "₺": "TRY", "TL": "TRY",
    "₩": "KRW", "₪": "ILS", "₫": "VND", "₴": "UAH", "₦": "NGN", "₱": "PHP", "฿": "THB",
    "ZŁ": "PLN", "KČ": "CZK", "KR": "kr", "KR.": "kr", "FT": "HUF", "LEI": "RON", "ЛВ": "BGN",
    "ЛВ.": "BGN", "FR.": "CHF", "SFR.": "CHF", "A$": "AUD", "C$": "CAD", "R$": "BRL", "S$": "SGD",
    "AU$": "AUD", "CA$": "CAD", "MX$": "MXN", "NT$": "TWD", "HK$": "HKD", "NZ$": "NZD",
    "元": "CNY", "円": "JPY", "원": "KRW",
}  # fmt: skip
# Signs that several currencies share: the code on the other side of the number says which it is.
_SHARED: Final = {
    "$": frozenset(("USD", "AUD", "CAD", "NZD", "SGD", "HKD", "TWD", "MXN", "ARS", "CLP", "COP")),
    "KR": frozenset(("SEK", "NOK", "DKK", "ISK")),
    "KR.": frozenset(("SEK", "NOK", "DKK", "ISK")),
    "¥": frozenset(("JPY", "CNY")),
}
_WHOLE: Final = re.compile(
    r"[0-9]*|[0-9]{1,3}([.,'’ ])[0-9]{3}(?:\1[0-9]{3})*|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}"
)
_NUMBER: Final = re.compile(r"[.,]?[0-9](?:[0-9.,'’ ]*[0-9])?")
_PLAIN: Final = re.compile(r"\+?[0-9]+(?:\.(?:[0-9]{1,2}|[0-9]{4,}))?(?:[eE][+-]?[0-9]+)?")
_DASHES: Final = re.compile(r"[.,:]\s?(?:-{1,2}|–|—)|/-")  # 12.- and 500/-
_SIGN_INSIDE: Final = re.compile(r"([0-9]+)[€$£]([0-9]{2})")
_AMOUNTS: Final = (
    *("amount", "value", "price"),
    *("$numberDecimal", "$numberDouble", "$numberInt", "$numberLong"),  # MongoDB's
)
_CURRENCIES: Final = ("currency", "currency_code", "currencyCode", "unit")


class PriceReader:
    """Reads the prices of one column, and remembers what they show of themselves."""

    def __init__(self) -> None:
        self.marks: set[str] = set()  # which marks were seen to be decimal
        self.settled = False  # enough was seen to read prices that leave it open
        self.currencies: Counter[str] = Counter()
        self.open = 0  # prices whose own text leaves open which mark is decimal

    def read(self, value: Any) -> float | None:
        """The number; None for what is no price, or has more than one meaning."""
        if isinstance(value, list):
            value = value[0] if len(value) == 1 else None
        if isinstance(value, dict):
            value = _of_object(value)
        if isinstance(value, str):
            return _in_range(self._of_text(value))
        return _in_range(value)

    def is_open(self, value: Any) -> bool:
        """Whether a price can only be read once others of its column were seen."""
        return (
            isinstance(value, str)
            and not _PLAIN.fullmatch(value)
            and _is_open(_without_currency(value)[0])
        )

    def observe(self, value: Any) -> None:
        """Let a price show which mark is decimal in its column."""
        if isinstance(value, str):
            number, _ = _without_currency(value)
            if number is not None and not _is_open(number):
                self.marks |= _shown_marks(number)

    def warnings(self) -> list[str]:
        """What is odd about the column as a whole."""
        warnings = []
        if len(self.currencies) > 1:
            counts = ", ".join(f"{n:,} x {code}" for code, n in self.currencies.most_common(5))
            warnings.append(
                f"prices are in several currencies ({counts}) and are compared as they are"
            )
        if len(self.marks) > 1:
            warnings.append("some prices have a decimal point and some a decimal comma")
        if self.open and len(self.marks) == 0:
            warnings.append(
                f"{self.open:,} prices such as 1,234 or 1.234 do not say which mark is decimal: "
                "the point was taken for it"
            )
        return warnings

    def _of_text(self, text: str) -> float | None:
        if _PLAIN.fullmatch(text):
            if "." in text:
                self.marks.add(".")
            return float(text)
        number, currency = _without_currency(text)
        if number is None:
            return None
        amount = self._amount(number)
        if amount is not None and currency:
            self.currencies[currency] += 1
        return amount

    def _amount(self, number: str) -> float | None:
        if _is_open(number):
            self.open += 1
            if len(self.marks) > 1:
                return None
            mark = next(iter(self.marks), ".")
        else:
            mark = _decimal_mark(number)
            self.marks |= _shown_marks(number)
        return _number(number, mark)


def _of_object(value: dict[str, Any]) -> Any:
    """{"amount": 79.9, "currency": "EUR"} as "79.9 EUR"."""
    amount = next((value[name] for name in _AMOUNTS if name in value), None)
    currency = next((value[name] for name in _CURRENCIES if name in value), "")
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        return None
    return f"{amount} {currency}" if isinstance(currency, str) and currency else amount


def _in_range(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) and 0 <= number <= MAX_PRICE else None


def _without_currency(text: str) -> tuple[str | None, str]:
    """The number in a price, and the currency beside it; None where there is more, or less."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = text.strip()
    if inside := _SIGN_INSIDE.fullmatch(text):  # 79€90
        text = f"{inside[1]}.{inside[2]}"
    number = _NUMBER.search(text)
    if number is None:
        return None, ""
    before = text[: number.start()].strip()
    after = _after_dash(text[number.end() :].strip())
    currency = _common_currency([sign for sign in (before, after) if sign])
    return (None, "") if currency is None else (number[0].strip(), currency)


def _common_currency(signs: list[str]) -> str | None:
    """The currency that the signs beside a number mean, "" for none; None where it is not one."""
    codes = [_currency(sign) for sign in signs]
    if len(codes) < 2:
        return codes[0] if codes else ""
    for sign, other in zip(signs, reversed(codes), strict=True):
        if other in _SHARED.get(sign.upper(), ()):
            return other
    return codes[0] if codes[0] == codes[1] else None


def _after_dash(after: str) -> str:
    """12.- and 12,-- are whole: what stands behind such a dash is the currency."""
    dash = _DASHES.match(after)
    return after[dash.end() :].strip() if dash else after


def _currency(sign: str) -> str | None:
    upper = sign.upper()
    if upper in _CODES:
        return upper
    return _SIGNS.get(upper) or _SIGNS.get(sign)


def _is_open(number: str | None) -> bool:
    """1,234 and 1.234: one mark, up to three digits before it, three behind."""
    return number is not None and bool(re.fullmatch(r"[1-9][0-9]{0,2}[.,][0-9]{3}", number))


def _decimal_mark(number: str) -> str:
    """The decimal mark that a number shows; "" for a whole number."""
    marks = [mark for mark in number if mark in ".,"]
    if not marks:
        return ""
    if len(set(marks)) == 2:
        return marks[-1]
    if len(marks) > 1:  # 1.234.567
        return ""
    return marks[0]


def _shown_marks(number: str) -> set[str]:
    """The decimal marks that a number shows: 1.234.567 has a comma for it."""
    mark = _decimal_mark(number)
    if mark:
        return {mark}
    return {",": {"."}, ".": {","}}.get("".join(set(number) & {",", "."}), set())


def _number(number: str, mark: str) -> float | None:
    """The number whose decimal mark is known; None where its thousands are no thousands."""
    whole, _, fraction = number.rpartition(mark) if mark and mark in number else (number, "", "")
    if not _WHOLE.fullmatch(whole) or (fraction and not fraction.isdecimal()):
        return None
    digits = re.sub(r"[^0-9]", "", whole)
    return float(f"{digits or 0}.{fraction or 0}")
