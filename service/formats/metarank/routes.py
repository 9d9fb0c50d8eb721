"""routes.py: Metarank's addresses -> rankings, kept events, and what is not served."""

import time
from collections.abc import Callable

from flask import Blueprint, Response, g, request

from reranker.errors import HistoryFailure
from reranker.log_formats.metarank import METARANK
from service.api.event_routes import LogKeeper
from service.api.events import not_kept
from service.formats.foreign import Translator
from service.formats.metarank.feedback import FeedbackAnswer, checked_event, split_feedback
from service.formats.metarank.rank import rank_format
from service.formats.metarank.recommend import MetarankRecommendations
from service.http.answers import error_answer, json_answer
from service.http.received import arrival, read_body, refuse_long_lists
from service.http.settings import LimitSettings

_YES = frozenset({"true", "1", ""})


Recommend = Callable[[str, bytes], MetarankRecommendations]  # the model, the body


def metarank_routes(
    translator: Translator, limits: LimitSettings, logs: LogKeeper, recommend: Recommend, most: int
) -> Blueprint:
    """The routes that a client of Metarank calls. most: events in one body."""
    routes = Blueprint("metarank", __name__)

    @routes.post("/rank/<model>")
    def rank(model: str) -> Response:
        explain = request.args.get("explain", "false").lower() in _YES
        format_ = g.error_format = rank_format(model, explain)
        begun = translator.begin()
        with begun.stages("read"):
            body = read_body(limits.body_bytes)
            refuse_long_lists(body, {"items": limits.candidates})
        return translator.answer(format_, str(request.url_rule), body, begun)

    @routes.post("/feedback")
    def feedback() -> Response:
        g.error_format = rank_format("", False)
        parts = split_feedback(read_body(limits.body_bytes), most)
        try:
            done = logs.keep(METARANK, parts, decode=checked_event)
        except HistoryFailure as failure:
            return not_kept(failure)
        return json_answer(
            FeedbackAnswer(
                status="ok",
                accepted=len(parts) - len({bad.position for bad in done.rejected}),
                updated=done.accepted,
                tookMillis=round((time.perf_counter() - arrival()) * 1000),
                rejected=done.rejected,
            )
        )

    @routes.post("/recommend/<model>")
    def recommend_route(model: str) -> Response:
        g.error_format = rank_format(model, False)
        body = read_body(limits.body_bytes)
        refuse_long_lists(body, {"items": limits.candidates})
        return json_answer(recommend(model, body))

    @routes.post("/train/<model>")
    def train(model: str) -> Response:
        return error_answer(
            501, "A training takes minutes and runs beside the service: run `reranker train`."
        )

    return routes
