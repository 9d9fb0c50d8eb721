"""availability.py: whether an item can be ordered, as shops write it -> True, False, or None."""

import re
from functools import lru_cache
from math import isfinite
from typing import Any, Final

from indexes.items.words import fold

# Words without case, accents, blanks, dashes and underscores, in English, German, French, Spanish,
# Italian, Portuguese and Dutch. What can be ordered for later is available.
_YES: Final = frozenset(
    """1 true t yes y on available instock limitedavailability limited limitedstock lowstock
    fewleft lastitems onlineonly instoreonly presale preorder backorder backordered
    availableforpreorder availableforbackorder availablefororder availableonbackorder madetoorder
    onbackorder instockavailable active enabled
    ja wahr auflager vorratig verfugbar lieferbar sofortlieferbar bestellbar vorbestellbar
    oui vrai enstock disponible si verdadero enexistencia enexistencias
    vero disponibile sim disponivel emestoque opvoorraad leverbaar beschikbaar""".split()
)
_NO: Final = frozenset(
    """0 false f no n off unavailable notavailable outofstock oos soldout discontinued notinstock
    nostock nolongeravailable permanentlyunavailable temporarilyoutofstock
    currentlyunavailable temporarilyunavailable noneleft inactive disabled
    nein falsch nichtauflager nichtvorratig nichtverfugbar nichtlieferbar ausverkauft vergriffen
    non faux rupture rupturedestock enrupturedestock indisponible nondisponible epuise
    falso agotado sinstock sinexistencia sinexistencias nodisponible
    esaurito nondisponibile indisponibile nao esgotado indisponivel semestoque
    nee uitverkocht nietopvoorraad nietleverbaar nietbeschikbaar""".split()
)
_ADDRESS: Final = re.compile(r"^(?:(?:https?://)?(?:www\.)?schema\.org[/#]|schema:)", re.IGNORECASE)
_COUNT: Final = re.compile(
    r"(?:only\s+)?[<>]?\s*([+-]?[0-9]+(?:[.,][0-9]+)?)\+?\s*"
    r"(?:left|in\s+stock|left\s+in\s+stock|available|pcs\.?|pieces|units?|items?)?",
    re.IGNORECASE,
)
_WITH_COUNT: Final = re.compile(r"(?:in\s*stock|available)\s*[:=(]\s*([0-9]+)\s*\)?", re.IGNORECASE)


def read_available(value: Any) -> bool | None:
    """True for what can be ordered, by a word or a stock count; None for what says neither."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value > 0
    if isinstance(value, float):
        return value > 0 if isfinite(value) else None
    return _of_text(value) if isinstance(value, str) else None


@lru_cache(maxsize=4096)
def _of_text(value: str) -> bool | None:
    text = _ADDRESS.sub("", value.strip())
    word = "".join(letter for letter in fold(text) if letter.isalnum())
    if text[:1] != "-" and (word in _YES or word in _NO):
        return word in _YES
    count = _COUNT.fullmatch(text) or _WITH_COUNT.fullmatch(text)
    return float(count[1].replace(",", ".")) > 0 if count else None
