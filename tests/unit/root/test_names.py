"""An id has one form, whichever door it comes in by."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.names import BadName, is_null_word, normalised, read_name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("u42", "u42"),
        ("ghost77  ", "ghost77"),
        ("\n u\xa042\xa0\r\n", "u\xa042"),
        ("\ufeffu42\u200b", "u42"),
        ("Mu\u0308ller", "M\xfcller"),
        (42, "42"),
        (1000.0, "1000"),
        ("1000.0", "1000.0"),
        ("", None),
        (None, None),
    ],
)
def test_forms(value: Any, name: str | None) -> None:
    assert read_name("user", value) == name


@pytest.mark.parametrize(
    "value",
    ["  ", "\xa0\n", "\u200b", True, 1.5, [], {}, "a\x00b", "x" * 513, float("nan")],
)
def test_what_no_id_can_be(value: Any) -> None:
    with pytest.raises(BadName, match="^user "):
        read_name("user", value)


@given(st.text())
def test_twice_is_as_once(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


def test_words_for_nobody() -> None:
    assert all(map(is_null_word, ["null", "NULL", "undefined", "NaN", "(not set)", "0"]))
    assert not any(map(is_null_word, ["u0", "nullius", "10"]))


def test_a_number_of_too_many_digits() -> None:
    with pytest.raises(BadName, match="^user "):
        read_name("user", 10**5000)
