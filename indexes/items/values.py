"""values.py: a value of a catalogue -> whether it stands for nothing, and how it is written."""

from typing import Any, Final

# What exports write for want of a value, folded. No 0: a price or a stock may be 0.
_NULL_WORDS: Final = frozenset(
    (
        *("null", "none", "nil", "nan", "n/a", "na", "#n/a", "undefined", "-", "--", "–", "—"),
        *("(null)", "(none)", "<null>", "\\n", "not set", "(not set)", "[]", "{}", "[null]"),
        *("0000-00-00", "0000-00-00 00:00:00", "0000-00-00t00:00:00", "0000-00-00t00:00:00z"),
    )
)
LONGEST_NULL: Final = max(map(len, _NULL_WORDS))


def null_word(text: str) -> bool:
    """Whether a trimmed text stands for no value."""
    return len(text) <= LONGEST_NULL and text.casefold() in _NULL_WORDS


def is_nothing(value: Any) -> bool:
    """Whether an optional value is absent: null, blank, an empty list or object, a null word."""
    if isinstance(value, str):
        text = value.strip()
        return not text or null_word(text)
    return (
        value is None or value == [] or value == {} or (isinstance(value, float) and value != value)
    )


def word_of(value: Any) -> str | None:
    """A text trimmed, a number as a person writes it, "" for null; None for anything else."""
    if isinstance(value, str):
        return value.strip()
    return "" if value is None else number_text(value)


def number_text(value: Any) -> str | None:
    """A number as a person writes it (6.0 is 6); None for what is no number."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return str(value)
    except ValueError:  # an int of more digits than Python writes
        return None
