"""searches.py: a request to the engine -> the searches in it that can be re-ranked, or none.

A search is re-ranked where its order is by score, it asks for hits, its page begins within the
window, and it says what was typed. Everything else passes as it is.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, quote

import msgspec
from werkzeug.datastructures import Headers

from service.formats.shoppers import header_text
from service.proxy.json_paths import text_at
from service.proxy.query_text import query_text

MAX_BODY: Final = 8 * 1024 * 1024
_DEFAULT_SIZE: Final = 10
# Parameters of an address by which a search is none of ours, or has its body there.
_OTHER: Final = frozenset(("scroll", "source", "search_type"))
_NOT_BY_SCORE: Final = ("search_after", "scroll", "slice")
_OWN_PAGE: Final = ("retriever", "rank", "collapse")  # these tie the page's size to other sizes


class Rules(NamedTuple):
    """How searches are read. window: the engine's best hits that are re-ranked. header: of the
    request, which says what was typed; paths: into the body, tried before the clauses."""

    window: int = 100
    header: str = "X-Search-Query"
    paths: tuple[str, ...] = ()


class Search(NamedTuple):
    """One search. first, size: the page that was asked for. ask: how many hits to ask the engine
    for from the first one on; None: the page as it is."""

    query: str
    first: int
    size: int
    ask: int | None
    client: str | None = None  # whom the body names, as ext.ubi.client_id


class Passed(NamedTuple):
    """Why a search passes as it is."""

    reason: str


def kind_of(method: str, target: str) -> str | None:
    """`search` or `msearch` where a request is one; None for anything else."""
    parts = [part for part in target.partition("?")[0].split("/") if part]
    if method not in ("GET", "POST") or not 1 <= len(parts) <= 2:
        return None
    if parts[-1] == "_search" and (len(parts) == 1 or not parts[0].startswith("_")):
        return "search"
    if parts[-1] == "_msearch" and method == "POST":
        return "msearch"
    return None


def decoded_body(body: bytes, encoding: str) -> bytes | None:
    """A body as it was before it was packed; None where that cannot be told."""
    if not encoding or encoding == "identity":
        return body
    if encoding != "gzip":
        return None
    packed = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        unpacked = packed.decompress(body, MAX_BODY)
    except zlib.error:
        return None
    # Not where it is torn, or where more follows: that would be lost.
    whole = packed.eof and not packed.unused_data
    return unpacked if whole and len(unpacked) < MAX_BODY else None


def read_search(target: str, headers: Headers, body: bytes, rules: Rules) -> Search | Passed:
    """The search of a request whose body is unpacked."""
    said = dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))
    if _OTHER & said.keys():
        return Passed("other_search")
    try:
        sent = msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Passed("no_json")
    if not isinstance(sent, dict):
        return Passed("no_json")
    named = header_text(headers.get(rules.header, ""))
    typed = named or query_text(sent, rules.paths) or said.get("q")
    return _search(sent, said, typed, rules)


def read_searches(body: bytes, headers: Headers, rules: Rules) -> list[Search | Passed]:
    """Those of a _msearch body: header, which may be empty, and search in turns. Each page is
    re-ranked as it is."""
    lines = body.rstrip().split(b"\n")
    searches: list[Search | Passed] = []
    for line in lines[1::2]:
        try:
            sent = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            sent = None
        if not isinstance(sent, dict):
            searches.append(Passed("no_json"))
            continue
        found = _search(sent, {}, query_text(sent, rules.paths), rules)
        searches.append(found._replace(ask=None) if isinstance(found, Search) else found)
    return searches


def _search(
    sent: dict[str, Any], said: Mapping[str, str], typed: str | None, rules: Rules
) -> Search | Passed:
    if any(name in sent for name in _NOT_BY_SCORE):
        return Passed("other_search")
    if not _by_score(sent.get("sort")) or not _by_score(said.get("sort")):
        return Passed("sorted")
    first = _number(said.get("from", sent.get("from")), 0)
    size = _number(said.get("size", sent.get("size")), _DEFAULT_SIZE)
    if first is None or size is None or size == 0:
        return Passed("no_hits_wanted")
    if first >= rules.window:
        return Passed("beyond_window")
    if not typed:
        return Passed("no_query")
    own_page = any(name in sent for name in _OWN_PAGE)
    ask = None if own_page else max(rules.window, first + size)
    return Search(typed, first, size, ask, text_at(sent, "ext.ubi.client_id"))


def _by_score(sort: Any) -> bool:
    """Whether a sort says no more than the engine does by itself."""
    if sort is None or sort in ("_score", "_score:desc", [], ["_score"]):
        return True
    if isinstance(sort, Sequence) and not isinstance(sort, str) and len(sort) == 1:
        return _by_score(sort[0])
    return isinstance(sort, dict) and sort in (
        {"_score": "desc"},
        {"_score": {"order": "desc"}},
        {"_score": {}},
    )


def _number(value: Any, default: int) -> int | None:
    if value is None:
        return default
    try:
        number = int(value)
    except (TypeError, ValueError):
        return None
    return number if number >= 0 else None


def widened(target: str, ask: int) -> str:
    """The address of the same search for its first hits: in it, from and size come before those of
    the body."""
    path, _, said = target.partition("?")
    kept = [
        (name, value)
        for name, value in parse_qsl(said, keep_blank_values=True)
        if name not in ("from", "size")
    ]
    pairs = [*kept, ("from", "0"), ("size", str(ask))]
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    return f"{path}?{query}"
