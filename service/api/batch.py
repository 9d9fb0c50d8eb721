"""batch.py: POST /rerank/batch -> each request's answer, or its own error, in their order."""

import logging
import time
from typing import Final

import msgspec
from flask import Blueprint, Response

from indexes.errors import Failure
from reranker.errors import BadRequest
from service.access.guard import Guard
from service.api.requests import RequestReader, decoded
from service.api.rerank import Reranking
from service.http.answers import ErrorAnswer, ErrorDetail, encoded, json_answer, status_of
from service.http.received import arrival, deadline_of, read_body, refuse_long_lists
from service.http.settings import LimitSettings

log = logging.getLogger("reranker")

_FOREVER_MS: Final = 1e12  # the caller's own header alone bounds the whole


class _Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    requests: list[msgspec.Raw]  # each is read by itself: one that is wrong costs no other


class BatchAnswer(msgspec.Struct, frozen=True):
    """What `POST /rerank/batch` answers: in the order of the requests, an answer of /rerank or
    `{"error": ...}`."""

    answers: list[msgspec.Raw]


_batch: Final = msgspec.json.Decoder(_Batch)


def batch_routes(
    reranking: Reranking, reader: RequestReader, limits: LimitSettings, guard: Guard
) -> Blueprint:
    """The route. Each request counts against the rate of its key."""
    routes = Blueprint("batch", __name__)

    @routes.post("/rerank/batch")
    def batch_route() -> Response:
        until = deadline_of(arrival(), _FOREVER_MS)
        requests = split_requests(read_body(limits.body_bytes), limits.batch)
        refused = guard.also(len(requests) - 1)
        if refused is not None:
            return refused
        answers = [_answered(reranking, reader, bytes(part), until) for part in requests]
        return json_answer(BatchAnswer(answers))

    return routes


def split_requests(body: bytes, most: int) -> list[msgspec.Raw]:
    """The requests of a body, each still encoded. Malformed, or BadRequest with the field."""
    refuse_long_lists(body, {"requests": most})
    requests = decoded(_batch, body).requests
    if len(requests) > most:
        raise BadRequest(
            f"requests has {len(requests):,} entries; at most {most:,} are allowed (limits.batch).",
            field="requests",
        )
    return requests


def _answered(
    reranking: Reranking, reader: RequestReader, body: bytes, until: float
) -> msgspec.Raw:
    """The budget of each begins with its turn, so that those before it do not spend it."""
    try:
        begun = reranking.begin_at(time.perf_counter())
        with begun.stages("read"):
            sent = reader.read(body)
        return msgspec.Raw(reranking.finish(begun, sent, encoded, before=until))
    except Failure as failure:
        if status_of(failure) < 500:
            detail = ErrorDetail(failure.code, str(failure), failure.field)
            return msgspec.Raw(encoded(ErrorAnswer(detail)))
        log.error("a request of a batch failed", exc_info=failure)
    except Exception as error:
        log.error("a request of a batch failed", exc_info=error)
    detail = ErrorDetail("internal_error", "The service failed here; its log has the reason.")
    return msgspec.Raw(encoded(ErrorAnswer(detail)))
