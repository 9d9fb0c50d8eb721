"""proxy.py: a WSGI request -> the engine's answer, its hits re-ranked where it is a search.

Whatever goes wrong on our side, the engine's own answer goes out: nothing here may cost a search.
"""

import http.client
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final
from urllib.parse import quote

import msgspec
from werkzeug.datastructures import EnvironHeaders

from service.proxy.hits import Page, read_page, written
from service.proxy.reranked import OWN_HEADERS, Reranker, Unranked
from service.proxy.searches import (
    MAX_BODY,
    Passed,
    Rules,
    Search,
    decoded_body,
    kind_of,
    read_search,
    read_searches,
    widened,
)
from service.proxy.upstreams import Upstream

log = logging.getLogger("reranker")

Headers = list[tuple[str, str]]
Start = Callable[[str, Headers], Any]
# Of one connection alone (RFC 9110, 7.6.1), and what is worked out anew.
_HOP: Final = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade", "host", "expect"),
    )
)
_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
_PIECE: Final = 64 * 1024
_responses: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raws: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Proxy:
    """The application. id_field: `_id`, or a field of the source that holds the item's id."""

    def __init__(
        self, engine: Upstream, reranker: Reranker, rules: Rules, id_field: str = "_id"
    ) -> None:
        self._engine, self._reranker = engine, reranker
        self._rules, self._id_field = rules, id_field

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer one request."""
        method, target = environ["REQUEST_METHOD"], _target(environ)
        headers = EnvironHeaders(environ)
        try:
            kind = kind_of(method, target)
            read, length = environ["wsgi.input"].read, headers.get("Content-Length", type=int)
            has_body = length is not None or _chunked(headers)
            if kind is None:
                pieces = _pieces(read) if has_body else None
                return self._streamed(method, target, headers, pieces, start)
            body = read(MAX_BODY) if has_body else b""
            if len(body) == MAX_BODY:
                return self._streamed(method, target, headers, chain([body], _pieces(read)), start)
            plain = decoded_body(body, headers.get("Content-Encoding", "").lower())
            if plain is None:
                return self._passed(method, target, headers, body, start, "packed_body")
            if kind == "msearch":
                return self._searches(method, target, headers, plain, start)
            return self._search(method, target, headers, plain, start)
        except (OSError, http.client.HTTPException) as error:
            return _unreachable(error, self._engine.address, start)

    def _search(
        self, method: str, target: str, headers: EnvironHeaders, body: bytes, start: Start
    ) -> Iterable[bytes]:
        search = self._read(target, headers, body)
        if isinstance(search, Passed):
            return self._passed(method, target, headers, body, start, search.reason)
        asked = target if search.ask is None else widened(target, search.ask)
        sent = self._headers(headers, body)
        status, answered, answer = self._engine.ask(method, asked, sent, body or None)
        page = _page(status, answered, answer, self._id_field)
        if page is None:
            if search.ask is None:
                return _answer(start, status, answered, answer, "passed", "no_hits")
            return self._passed(method, target, headers, body, start, "no_hits")
        places, said = list(range(len(page.hits))), ("passed", "no_hits", "")
        if len(page.hits) > 0:
            places, said = self._order(search, page, headers)
        if search.ask is None:
            changed = answer if said[0] == "passed" else written(page, places)
        else:
            changed = written(page, places, search.first, search.size)
        return _answer(start, status, answered, changed, *said)

    def _read(self, target: str, headers: EnvironHeaders, body: bytes) -> Search | Passed:
        try:
            return read_search(target, headers, body, self._rules)
        except Exception:  # whatever it is, the search goes out
            log.exception("a search cannot be read")
            return Passed("failed")

    def _order(
        self, search: Search, page: Page, headers: EnvironHeaders
    ) -> tuple[list[int], tuple[str, str, str]]:
        try:
            [order] = self._reranker.orders([(search, page)], headers)
        except Unranked as why:
            return list(range(len(page.hits))), ("passed", str(why), "")
        except Exception:  # whatever it is, the search goes out
            log.exception("a page cannot be re-ranked")
            return list(range(len(page.hits))), ("passed", "failed", "")
        if order is None:
            return list(range(len(page.hits))), ("passed", "refused", "")
        return order.places, ("reranked", "", order.ranking)

    def _searches(
        self, method: str, target: str, headers: EnvironHeaders, body: bytes, start: Start
    ) -> Iterable[bytes]:
        sent = self._headers(headers, body)
        status, answered, answer = self._engine.ask(method, target, sent, body)
        try:
            changed, reason = self._each(read_searches(body, headers, self._rules), headers, answer)
        except Unranked as why:
            changed, reason = answer, str(why)
        except Exception:
            log.exception("a page cannot be re-ranked")
            changed, reason = answer, "failed"
        return _answer(start, status, answered, changed, "passed" if reason else "reranked", reason)

    def _each(
        self, searches: list[Search | Passed], headers: EnvironHeaders, answer: bytes
    ) -> tuple[bytes, str]:
        """The answer of a _msearch with every page re-ranked that can be, or why none is."""
        parts = _responses.decode(answer)
        responses = _raws.decode(parts["responses"]) if "responses" in parts else []
        if len(responses) != len(searches):  # which is whose, nobody can tell
            return answer, "no_hits"
        pairs = [
            (at, search, page)
            for at, (search, response) in enumerate(zip(searches, responses, strict=True))
            if isinstance(search, Search)
            and (page := read_page(response, self._id_field)) is not None
            and page.hits
        ]
        if not pairs:
            return answer, "no_hits"
        orders = self._reranker.orders([(search, page) for _, search, page in pairs], headers)
        for (at, _, page), order in zip(pairs, orders, strict=True):
            if order is not None:
                responses[at] = msgspec.Raw(written(page, order.places))
        return msgspec.json.encode(parts | {"responses": responses}), ""

    def _passed(
        self,
        method: str,
        target: str,
        headers: EnvironHeaders,
        body: bytes,
        start: Start,
        reason: str,
    ) -> Iterable[bytes]:
        """A search as it came. body: as it is to be sent."""
        sent = self._headers(headers, body, keep=reason == "packed_body")
        status, answered, answer = self._engine.ask(method, target, sent, body or None)
        return _answer(start, status, answered, answer, "passed", reason)

    def _streamed(
        self,
        method: str,
        target: str,
        headers: EnvironHeaders,
        body: Iterable[bytes] | None,
        start: Start,
    ) -> Iterable[bytes]:
        """Anything else, in pieces, once."""
        sent = _forwarded(headers, self._engine)
        connection, answer = self._engine.open(method, target, sent, body)
        start(f"{answer.status} {answer.reason}", _back(answer.headers, keep_length=True))
        return _Body(connection, answer)

    def _headers(
        self, headers: EnvironHeaders, body: bytes, *, keep: bool = False
    ) -> dict[str, str]:
        """Of a search: its body unpacked, and its answer not packed, to be read here."""
        dropped = set() if keep else {"content-encoding", "accept-encoding", "content-length"}
        sent = _forwarded(headers, self._engine)
        sent = {name: value for name, value in sent.items() if name.lower() not in dropped}
        return sent | ({} if keep or not body else {"Content-Length": str(len(body))})


class _Body:
    """An answer in pieces; its connection ends with it."""

    def __init__(
        self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
    ) -> None:
        self._connection, self._answer = connection, answer

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from _pieces(self._answer.read)
        finally:
            self.close()

    def close(self) -> None:
        """As WSGI asks for at the end, however it comes."""
        self._answer.close()
        self._connection.close()


def _pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while piece := read(_PIECE):
        yield piece


def _target(environ: Mapping[str, Any]) -> str:
    """Path and query as they were sent: decoding them would lose what is a slash and what not."""
    raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "/")
    target = raw if raw.startswith("/") else f"/{raw.split('://', 1)[-1].partition('/')[2]}"
    # WSGI hands out bytes as Latin-1, and http.client sends no more than ASCII.
    return target if target.isascii() else quote(target.encode("latin-1"), safe=_ASCII)


def _chunked(headers: EnvironHeaders) -> bool:
    return "chunked" in headers.get("Transfer-Encoding", "").lower()


def _forwarded(headers: EnvironHeaders, engine: Upstream) -> dict[str, str]:
    """What the engine is told: all but what is ours, or of this connection."""
    listed = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    sent = {
        name: value
        for name, value in headers.items()
        if name.lower() not in _HOP | OWN_HEADERS | listed
    }
    if engine.authorization and "authorization" not in {name.lower() for name in sent}:
        sent["Authorization"] = engine.authorization
    return sent


def _back(headers: http.client.HTTPMessage, *, keep_length: bool) -> Headers:
    dropped = _HOP if keep_length else _HOP | {"content-length"}
    return [(name, value) for name, value in headers.items() if name.lower() not in dropped]


def _page(status: int, headers: http.client.HTTPMessage, body: bytes, id_field: str) -> Page | None:
    kind = (headers.get("Content-Type") or "").lower()
    return read_page(body, id_field) if status == 200 and "json" in kind else None


def _answer(
    start: Start,
    status: int,
    headers: http.client.HTTPMessage,
    body: bytes,
    outcome: str,
    reason: str = "",
    ranking: str = "",
) -> list[bytes]:
    more = [
        ("Content-Length", str(len(body))),
        ("X-Reranker", f"{outcome}; {reason}" if reason else outcome),
    ]
    if ranking:
        more.append(("X-Ranking-Id", ranking))
    phrase = http.client.responses.get(status, "Unknown")
    start(f"{status} {phrase}", [*_back(headers, keep_length=False), *more])
    return [body]


def _unreachable(error: Exception, address: str, start: Start) -> list[bytes]:
    """The one thing that cannot be passed on: an engine that does not answer."""
    log.error("the engine at %s does not answer: %s", address, error)
    late = isinstance(error, TimeoutError)
    status = "504 Gateway Timeout" if late else "502 Bad Gateway"
    reason = f"{address} does not answer"
    kind = "gateway_timeout_exception" if late else "bad_gateway_exception"
    body = msgspec.json.encode(
        {"error": {"type": kind, "reason": reason}, "status": int(status[:3])}
    )
    start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
