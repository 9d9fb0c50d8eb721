"""raw_names.py: a user or session as it is asked for -> every way in which it may once have lain.

Names are kept in one form (indexes/names.py). Earlier releases kept what /rerank was sent as it
was sent, blanks and all, and a pseudonym does not tell of what it was made: all that it may have
been has to be tried.
"""

import unicodedata
from typing import Final

from indexes.names import normalised
from reranker.pseudonyms.pseudonyms import Pseudonyms, generation_of

_EDGES: Final = (
    *("", " ", "  ", "   ", "    ", "\t", "\n", "\r", "\r\n", " \n", "\u00a0", "\u00a0\u00a0"),
    *(
        "\ufeff",
        "\u200b",
        "\u200e",
        "\u200f",
        "\u2060",
        "\u3000",
        "\u2009",
        "\u202f",
        "\x0b",
        "\x0c",
    ),
)


def raw_forms(name: str) -> list[str]:
    """The name as it is given, in its one form, composed and decomposed, with blanks around it."""
    bare = normalised(name)
    if generation_of(bare):
        return [bare]
    cores = dict.fromkeys((bare, unicodedata.normalize("NFD", bare)))
    forms = [name, *(before + core + after for core in cores for before, after in _around())]
    return list(dict.fromkeys(form for form in forms if form))


def _around() -> list[tuple[str, str]]:
    return [(before, after) for before in _EDGES for after in _EDGES]


def pseudonyms_of(names: Pseudonyms, name: str, *, is_user: bool) -> set[str]:
    """What each of these ways is called under each of the home's keys."""
    by_key = [names.at(generation) for generation in range(1, names.generation + 1)]
    forms = raw_forms(name)
    return {keys.as_written(is_user, form) for keys in by_key for form in forms}
