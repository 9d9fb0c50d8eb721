"""rankings.py: GET /rankings/<id> -> a page of a ranking that top_n cut, for 15 minutes."""

from typing import Final

import msgspec
from flask import Blueprint, Response, request

from reranker.errors import BadRequest
from reranker.ranking.ranking import BlendName, Degraded, Ranked
from service.http.answers import error_answer, json_answer
from service.live.kept_rankings import MINUTES, KeptRankings

PAGE: Final = 20


class RankingPage(msgspec.Struct, frozen=True, rename={"start": "from"}):
    """What `GET /rankings/<id>` answers: results from place `from` (from 0) on, of `total`."""

    id: str
    start: int
    total: int
    results: list[Ranked]
    blend: BlendName
    versions: dict[str, str | None]
    degraded: list[Degraded]


def rankings_routes(kept: KeptRankings) -> Blueprint:
    """The pages after the first one."""
    routes = Blueprint("rankings", __name__)

    @routes.get("/rankings/<ranking>")
    def page_route(ranking: str) -> Response:
        start, count = _number("from", 0), _number("top_n", PAGE)
        found = kept.get(ranking)
        if found is None:
            message = (
                f"No ranking {ranking[:80]!r} is kept: those that top_n cut are, without "
                f"explanations, for {MINUTES} minutes (limits.kept_rankings). Ask /rerank again."
            )
            return error_answer(404, message, "unknown_ranking")
        results = found.results[start : start + count]
        page = RankingPage(
            ranking,
            start,
            len(found.results),
            results,
            found.blend,
            found.versions,
            found.degraded,
        )
        return json_answer(page)

    return routes


def _number(name: str, default: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise BadRequest(f"{name} is {text[:80]!r}; a whole number from 0 is expected.", field=name)
    return int(text)
