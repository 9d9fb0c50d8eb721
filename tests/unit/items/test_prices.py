"""Prices and availability as shops write them: one meaning is understood, more than one is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.items.availability import read_available
from indexes.items.prices import MAX_PRICE, PriceReader


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("79,90 EUR", 79.9), ("$1,079.90", 1079.9), ("1.079,90 €", 1079.9), ("1 079,90", 1079.9),
        ("1\u202f079,90\xa0€", 1079.9), ("1'079.90", 1079.9), ("CHF 12.-", 12), ("12,-- €", 12),
        ("EUR79.9", 79.9), ("79€90", 79.9), ("1.234.567", 1234567), ("12,34,567.50", 1234567.5),
        ("US$ 5", 5), ("499 kr", 499), ("₹ 499", 499), ("0,500", 0.5), (".99", 0.99), ("1e3", 1000),
        ("1,234", 1234), ("1.234", 1.234), ("7.5", 7.5), ("0", 0), (5, 5), (5.25, 5.25), ([5], 5),
        ("$12.00 USD", 12), ("CA$ 5", 5), ("$5 CAD", 5), ("EUR 5 €", 5), ("NT$ 99", 99),
        ("99:-", 99), ("Rs. 500/-", 500), ("12 Euros", 12), ("US$12.00 USD", 12),
        ({"amount": "79,90", "currency": "EUR"}, 79.9), ({"value": 3, "currency": "USD"}, 3),
    ],
)  # fmt: skip
def test_one_meaning_is_understood(text: object, price: float) -> None:
    assert PriceReader().read(text) == price


@pytest.mark.parametrize(
    "text",
    [
        "free", "-5", "79.90 - 99.90", "from 5", "5 kg", "USD 5 EUR", "$5 €", "€5 USD",
        "1.2.3", "5 %", "", "€",
        "1,23.456,7", "1 2", True, None, 1e13, float("nan"), "1e999", [1, 2], {"a": 1}, "NaN",
    ],
)  # fmt: skip
def test_what_has_no_single_meaning_is_none(text: object) -> None:
    assert PriceReader().read(text) is None


def test_the_column_says_which_mark_is_decimal() -> None:
    comma, point = PriceReader(), PriceReader()
    comma.observe("79,90")
    point.observe("$79.90")
    assert (comma.read("1.234"), comma.read("1,234")) == (1234, 1.234)
    assert (point.read("1.234"), point.read("1,234")) == (1.234, 1234)
    comma.read("79.90")  # now both were seen, so neither is the mark
    assert comma.read("1.234") is None
    assert "some prices have a decimal point and some a decimal comma" in comma.warnings()


def test_mixed_currencies_and_open_prices_are_warned_of() -> None:
    reader = PriceReader()
    for text in ("5 EUR", "$5", "5 €", "1,234"):
        reader.read(text)
    mixed, undecided = reader.warnings()
    assert "2 x EUR, 1 x USD" in mixed
    assert undecided.startswith("1 prices such as 1,234")


CURRENCIES = ("{}", "{} €", "€{}", "EUR {}", "{} EUR", "${}", "CHF {}", "{} zł", "£ {}")


@given(
    cents=st.integers(0, int(MAX_PRICE)),
    marks=st.sampled_from([(",", "."), (".", ","), (" ", ","), ("'", "."), ("", "."), ("", ",")]),
    currency=st.sampled_from(CURRENCIES),
)
def test_a_price_in_any_understood_style_reads_back(
    cents: int, marks: tuple[str, str], currency: str
) -> None:
    thousands, decimal = marks
    whole = f"{cents // 100:,}".replace(",", thousands)
    assert PriceReader().read(currency.format(f"{whole}{decimal}{cents % 100:02}")) == cents / 100


@given(st.text(max_size=20) | st.text("0123456789.,' €$-", max_size=12))
def test_any_text_is_a_price_in_range_or_none(text: str) -> None:
    price = PriceReader().read(text)
    assert price is None or 0 <= price <= MAX_PRICE


@pytest.mark.parametrize(
    ("value", "available"),
    [
        ("in_stock", True), ("InStock", True), ("in stock", True), ("IN-STOCK", True),
        ("out of stock", False), ("OutOfStock", False), ("sold out", False), ("limited", True),
        ("preorder", True), ("BackOrder", True), ("https://schema.org/InStock", True),
        ("http://schema.org/OutOfStock", False), ("Y", True), ("n", False), ("t", True),
        ("f", False), ("1.0", True), ("0.0", False), ("25", True), (25, True), (0, False),
        (-2, False), (2.0, True), ("only 3 left", True), ("0 in stock", False), ("10+", True),
        ("auf Lager", True), ("Nicht vorrätig", False), ("ausverkauft", False), ("ja", True),
        ("En stock", True), ("Rupture de stock", False), ("épuisé", False), ("oui", True),
        ("disponible", True), ("No disponible", False), ("agotado", False), ("sí", True),
        ("sin existencias", False), ("non disponibile", False), ("esaurito", False),
        ("op voorraad", True), ("uitverkocht", False), ("nein", False), ("non", False),
        ("schema:InStock", True), ("in stock (12)", True), ("In stock: 5", True),
        ("temporarily unavailable", False), ("disabled", False), ("WAHR", True),
        (True, True), ("perhaps", None), ("2026-01-01", None), ([], None), (float("inf"), None),
    ],
)  # fmt: skip
def test_availability(value: object, available: bool | None) -> None:
    assert read_available(value) is available
