"""quoting.py: a value or a name that there is not -> how a message quotes it, and what is near."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

_NEAR: Final = 0.6  # of difflib's ratio: a few letters of the name are wrong
_LISTED: Final = 40  # names that fit into a message


def shown(value: Any) -> str:
    """A value as it is quoted in a message, cut to a readable length."""
    try:
        text = repr(value) if isinstance(value, str) else str(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    except ValueError:  # an int of more digits than Python writes
        text = f"a {type(value).__name__} of too many digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that there is not: "; the nearest is 'x'".

    "" where none of the known names is near: a suggestion that nobody meant leads astray.
    """
    near = get_close_matches(name, list(known), n=1, cutoff=_NEAR)
    return f"; the nearest is {near[0]!r}" if near else ""


def nearest_or_all(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names; else, where they are few, all of them."""
    names = list(known)
    near = nearest(name, names)
    if near or not names or len(names) > _LISTED:
        return near
    return f"; there is {', '.join(names)}"
