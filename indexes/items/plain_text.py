"""plain_text.py: a text that may hold HTML and entities -> the words that a reader would see."""

import html
import re
from typing import Final

_INLINE: Final = frozenset(
    """a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark nobr q s
    samp small span strike strong sub sup svg path time tt u var wbr o:p""".split()
)
_ENDS: Final = {  # of what is left out with all that stands inside
    "script": re.compile(r"</script\s*>", re.IGNORECASE),
    "style": re.compile(r"</style\s*>", re.IGNORECASE),
    "comment": re.compile("-->"),
}
_ELEMENTS: Final = _INLINE.union(
    _ENDS,
    """address applet area article aside audio base blockquote body br button canvas caption center
    col colgroup datalist dd details dialog dir div dl dt embed fieldset figcaption figure footer
    form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html iframe input legend li link
    main map menu meta meter nav noframes noscript object ol optgroup option output p param picture
    pre progress rp rt ruby section select source summary table tbody td template textarea tfoot th
    thead title tr track ul video""".split(),
)
# What stands in a tag after its name: so "a <b and c> d" is no tag, and neither is "x < y".
_ATTRIBUTE: Final = r"""\s+[^\s<>"'=/]+\s*=\s*(?:"[^"<>]*(?:[<>][^"<>]*)*"|'[^']*'|[^\s<>"']*)"""
_SWITCHES: Final = (
    r"\s+(?:hidden|disabled|checked|selected|controls|required|async|defer|nowrap|open|autoplay|loop"
    r"|muted|playsinline|readonly|multiple|allowfullscreen|itemscope|reversed)"
)
_TAG: Final = re.compile(
    r"(?P<comment><!--)|<!doctype[^<>]*>|<\?xml[^<>]*>|<!\[CDATA\[|\]\]>"
    rf"|<(?P<end>/?)(?P<name>[a-z][a-z0-9:]*)(?>(?:{_ATTRIBUTE}|{_SWITCHES})*\s*/?>"
    r"|\s+[^<>]*=[^<>]*>)",
    re.IGNORECASE | re.DOTALL,
)
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)
_TWICE: Final = re.compile(r"&(?:amp;|#0*38;|#x0*26;)+", re.IGNORECASE)  # &amp;amp;lt;
_ROUNDS: Final = 8  # of taking tags out: what they leave may be a tag again


def plain(text: str) -> str:
    """The text without tags, scripts and styles, entities decoded, blanks made one.

    A text without < and & comes back as it is; so does what only looks like HTML ("a < b", "<3").
    Twice gives the same as once, and the result is never longer.
    """
    if "<" not in text and "&" not in text:
        return text
    cleaned = _once(text)
    if cleaned == text:
        return text
    for _ in range(_ROUNDS):
        before, cleaned = cleaned, _once(cleaned)
        if cleaned == before:
            return _single_spaced(cleaned)
    return _single_spaced(cleaned.replace("<", " ").replace("&", " "))


def _once(text: str) -> str:
    text = _TWICE.sub("&", text)
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), _without_tags(text))


def _single_spaced(text: str) -> str:
    return " ".join(text.replace("\xad", "").split())


def _without_tags(text: str) -> str:
    parts: list[str] = []
    at = 0
    ends: dict[str, int] = {}  # where the next end of what is left out stands
    while tag := _TAG.search(text, at):
        parts.append(text[at : tag.start()])
        at = tag.end()
        name = "comment" if tag["comment"] else (tag["name"] or "").lower()
        if name in _ENDS and not tag["end"]:
            at = _after_end(text, at, name, ends)
            parts.append(" ")
        elif name and name not in _ELEMENTS:
            parts.append(tag[0])
        elif name not in _INLINE:
            parts.append(" ")
    parts.append(text[at:])
    return "".join(parts)


def _after_end(text: str, at: int, name: str, ends: dict[str, int]) -> int:
    """Where what is left out with all inside it ends; here, when it never does."""
    if ends.get(name, 0) < at:
        end = _ENDS[name].search(text, at)
        ends[name] = end.end() if end else len(text) + 1
    return ends[name] if ends[name] <= len(text) else at
