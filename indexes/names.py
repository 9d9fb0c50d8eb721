"""names.py: a user, session or item id as it is sent or written -> the one form in which it counts.

One name, one shopper, everywhere: every door (files, HTTP, commands, settings) reads ids by this
and before anything is made of them, pseudonyms too.
"""

import re
import unicodedata
from typing import Any, Final

from indexes.quoting import shown

MAX_NAME: Final = 512  # characters
# Invisible at the ends of an id: what str.strip takes (NBSP and line ends among it), and these.
_INVISIBLE: Final = "\ufeff\u200b\u200e\u200f\u2060"
_EDGES: Final = re.compile(rf"^[\s{_INVISIBLE}]+|[\s{_INVISIBLE}]+$")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_EXACT: Final = 2**53  # whole floats up to here are the number that was meant

# What programs write where they have no id (folded): as the id of many it names nobody.
NULL_WORDS: Final = frozenset(
    (
        *("null", "none", "nil", "undefined", "nan", "n/a", "na", "unknown", "0", "-1", "-"),
        *("(not set)", "not set", "(null)", "(none)", "(other)", "[object object]"),
        "00000000-0000-0000-0000-000000000000",
    )
)


class BadName(ValueError):
    """A value that no id can be; the message begins with the field."""


def normalised(text: str) -> str:
    """An id in its one form: composed (NFC), without blanks or invisible marks at its ends.

    Twice gives the same as once.
    """
    if text.isascii():
        return text.strip()
    return _EDGES.sub("", unicodedata.normalize("NFC", text))


def read_name(field: str, value: Any) -> str | None:
    """The id that a value means; None for null and for "", which say that there is none.

    Whole numbers become their digits (1000.0, which data frames write, is 1000). BadName: another
    type, nothing but blanks, a control character, or more than MAX_NAME characters.
    """
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise BadName(f"{field} is {shown(value)}; a text is expected")
    try:
        name = normalised(str(value))
    except ValueError:  # an int of more digits than Python writes
        raise BadName(f"{field} is a number of too many digits") from None
    if not name:
        raise BadName(f"{field} is blank")
    if len(name) > MAX_NAME:
        raise BadName(f"{field} has {len(name):,} characters; at most {MAX_NAME} may be")
    if not name.isprintable() and (control := _CONTROL.search(name)):
        raise BadName(f"{field} {shown(name)} holds the character U+{ord(control[0]):04X}")
    return name


def is_null_word(name: str) -> bool:
    """Whether a program may have written this for want of an id."""
    return name.casefold() in NULL_WORDS
