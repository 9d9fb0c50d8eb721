"""reranked.py: hits of searches -> their orders, as the service ranks them within the budget."""

import http.client
import logging
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from werkzeug.datastructures import Headers

from reranker.errors import BadRequest
from service.formats.shoppers import CONSENT, HEADERS, opened
from service.proxy.hits import Hit, Page
from service.proxy.json_paths import text_at
from service.proxy.searches import Search
from service.proxy.upstreams import Upstream

log = logging.getLogger("reranker")

OWN_HEADERS: Final = frozenset(
    name.lower() for name in (*(name for names in HEADERS.values() for name in names), CONSENT)
)
_PAUSE: Final = 1.0  # seconds in which a service that did not answer is not asked


class Order(NamedTuple):
    """Places of the engine's hits in their new order. ranking: the id that events may name."""

    places: list[int]
    ranking: str


class Unranked(Exception):
    """The service gave no order; the message is the reason in one word."""


class _Result(msgspec.Struct):
    id: str


class _Answer(msgspec.Struct):
    id: str = ""
    results: list[_Result] | None = None
    error: msgspec.Raw = msgspec.Raw()


class _Answers(msgspec.Struct):
    answers: list[_Answer]


_one: Final = msgspec.json.Decoder(_Answer)
_many: Final = msgspec.json.Decoder(_Answers)


def shopper_of(headers: Headers, client: str | None) -> dict[str, Any]:
    """Who is searching: headers, else the client that the search names. Unranked for no id."""
    try:
        said = opened("", headers, enveloped=False)
    except BadRequest:
        raise Unranked("bad_shopper") from None
    named = {"user": said.user, "session": said.session, "blend": said.blend}
    if said.user is None and said.session is None:
        named["user"] = client
    sent: dict[str, Any] = {name: value for name, value in named.items() if value}
    return sent if said.personalize else sent | {"personalize": False}


class Reranker:
    """The service, asked within a budget, and not asked for a moment after it did not answer."""

    def __init__(
        self,
        service: Upstream,
        budget_ms: float,
        window: int,
        text_field: str | None = None,
        key: str | None = None,
    ) -> None:
        self._service, self._budget, self._window = service, budget_ms / 1000, window
        self._text_field = text_field
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._rest_until = 0.0

    def orders(
        self, searches: Sequence[tuple[Search, Page]], headers: Headers
    ) -> list[Order | None]:
        """The order of each page; None for one that the service refused. Unranked: of none."""
        started = time.monotonic()
        if started < self._rest_until:
            raise Unranked("resting")
        requests = [self._request(search, page, headers) for search, page in searches]
        many = len(requests) > 1
        body = msgspec.json.encode({"requests": requests} if many else requests[0])
        try:
            status, _, answer = self._service.ask(
                "POST", "/rerank/batch" if many else "/rerank", self._headers, body, self._budget
            )
        except (OSError, http.client.HTTPException) as error:
            self._rest_until = time.monotonic() + _PAUSE
            log.warning("the service did not answer: %s", error)
            raise Unranked(
                "timeout" if isinstance(error, TimeoutError) else "unreachable"
            ) from None
        if status != 200:
            raise Unranked(f"status_{status}")
        try:
            answers = _many.decode(answer).answers if many else [_one.decode(answer)]
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Unranked("no_answer") from None
        return [
            self._order(page, answer) for (_, page), answer in zip(searches, answers, strict=True)
        ]

    def _request(self, search: Search, page: Page, headers: Headers) -> dict[str, Any]:
        candidates: dict[str, dict[str, Any]] = {}
        for hit in page.hits[: self._window]:
            if hit.item is not None:
                candidates.setdefault(hit.item, self._candidate(hit))
        if not candidates:
            raise Unranked("no_ids")
        shopper = shopper_of(headers, search.client)
        return shopper | {"query": search.query, "candidates": list(candidates.values())}

    def _candidate(self, hit: Hit) -> dict[str, Any]:
        candidate: dict[str, Any] = {"id": hit.item}
        if hit.score is not None:
            candidate["score"] = hit.score
        if self._text_field is not None:
            source = msgspec.json.decode(hit.raw).get("_source")
            if text := text_at(source, self._text_field):
                candidate["text"] = text
        return candidate

    def _order(self, page: Page, answer: _Answer) -> Order | None:
        """Hits of the window by the rank of their items; without an id where they were, those
        beyond the window behind."""
        if answer.results is None:
            return None
        rank = {result.id: place for place, result in enumerate(answer.results)}
        hits = page.hits[: self._window]
        places = [at for at, hit in enumerate(hits) if hit.item in rank]
        moved = iter(sorted(places, key=lambda at: rank[hits[at].item or ""]))
        fixed = set(range(len(hits))) - set(places)
        order = [at if at in fixed else next(moved) for at in range(len(hits))]
        return Order([*order, *range(len(hits), len(page.hits))], answer.id)
