"""answers.py: results and failures -> JSON answers; every error of every route has one shape."""

import logging
from typing import Any, Final

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from indexes.errors import Failure
from reranker.errors import BadBlend, BadRequest, Conflict, UnknownBlend

log = logging.getLogger("reranker")

JSON: Final = "application/json"
_encoder: Final = msgspec.json.Encoder()
# An answer that brings its own (the page's policy, its Referrer-Policy) keeps it.
SECURITY_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
# For answers that never reached Flask.
RAW_HEADERS: Final = "".join(f"{name}: {value}\r\n" for name, value in SECURITY_HEADERS)


class Malformed(Failure):
    """A body that is not JSON, or JSON nested too deeply."""

    code = "malformed_json"


# Failures that are the caller's to mend; any other is ours.
STATUS: Final[dict[type[Failure], int]] = {
    Malformed: 400,
    BadRequest: 422,
    UnknownBlend: 422,
    BadBlend: 422,
    Conflict: 409,
}
_CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "body_too_large",
    414: "address_too_long",
    415: "unsupported_media_type",
    417: "expectation_failed",
    429: "too_many_requests",
    431: "headers_too_large",
    500: "internal_error",
    501: "not_implemented",
    503: "not_ready",
    507: "changes_full",
}


class ErrorDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong; `field` is the place in the request, such as `candidates[3].id`."""

    code: str
    message: str
    field: str | None = None


class ErrorAnswer(msgspec.Struct, frozen=True):
    """Every answer with a status from 400 on."""

    error: ErrorDetail


def encoded(payload: Any) -> bytes:
    """Any msgspec-encodable value as JSON."""
    return _encoder.encode(payload)


def json_answer(payload: Any, status: int = 200) -> Response:
    """Any msgspec-encodable value as a JSON answer."""
    return Response(_encoder.encode(payload), status, content_type=JSON)


def error_body(
    status: int, message: str, code: str | None = None, field: str | None = None
) -> bytes:
    """The one error shape as bytes, for answers that are written without Flask, too."""
    detail = ErrorDetail(code or _CODES.get(status, "failed"), message, field)
    return _encoder.encode(ErrorAnswer(detail))


def error_answer(
    status: int, message: str, code: str | None = None, field: str | None = None
) -> Response:
    """The one error shape as an answer."""
    return Response(error_body(status, message, code, field), status, content_type=JSON)


def register_errors(app: Flask) -> None:
    """Give every failure of every route the one shape, and log what was not foreseen."""
    app.register_error_handler(Failure, _failure)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def register_security_headers(app: Flask) -> None:
    """Say on every answer, errors too, what browsers must not do with it."""

    @app.after_request
    def harden(answer: Response) -> Response:
        headers = answer.headers
        for name, value in SECURITY_HEADERS:
            if name not in headers:
                headers[name] = value
        return answer


def status_of(failure: Failure) -> int:
    """4xx for what is the caller's to mend, else 500."""
    return next((status for kind, status in STATUS.items() if isinstance(failure, kind)), 500)


def _failure(failure: Failure) -> Response:
    status = status_of(failure)
    if status == 500:
        return _unforeseen(failure)
    return error_answer(status, str(failure), failure.code, failure.field)


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    answer = error_answer(status, _MESSAGES.get(status, error.name + "."))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        answer.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        answer.set_data(error_body(405, f"{request.path} takes {answer.headers['Allow']}."))
    return answer


def _unforeseen(error: Exception) -> Response:
    route = request.url_rule.rule if request.url_rule else "unmatched"  # no text of a sender
    log.error("%s failed", route, exc_info=error)
    return error_answer(500, "The service failed here; its log has the reason.")


_MESSAGES: Final = {
    400: "The request cannot be read.",
    404: "There is nothing at this address; /openapi.json lists what there is.",
    413: "The body is larger than the service takes (limits.body_bytes).",
    415: "The body comes in a form that is not read; a Content-Encoding may be gzip or identity.",
}
