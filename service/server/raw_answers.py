"""raw_answers.py: what is wrong with a request -> an answer that Flask has no part in."""

from typing import Any, Final

from service.http.answers import RAW_HEADERS, error_body
from service.observability.request_ids import REQUEST_ID, new_request_id
from service.server.gunicorn_api import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)

GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_REASONS: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_MESSAGES: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (LimitRequestHeaders, 431, "The headers are too large, or too many (100)."),
    (LimitRequestLine, 414, "The address is too long."),
    (ExpectationFailed, 417, "Nothing but 100-continue can be expected."),
    (UnsupportedTransferCoding, 501, "This transfer coding is not known."),
    (ParseException, 400, "This is not an HTTP request that can be read."),
    (Exception, 500, "The service failed here; its log has the reason."),
)


def refusal(request: Any, goes_on: bool) -> bytes:
    """503 to this request, which may be None: one that has not come whole."""
    before, after = _REFUSALS[goes_on]
    answer = b"".join((before, new_request_id().encode(), after))
    if request is not None and request.method == "HEAD":
        return answer[: answer.index(b"\r\n\r\n") + 4]
    return answer


def too_slow(seconds: float) -> bytes:
    """408: the request took longer to arrive."""
    message = f"The request did not arrive within {seconds:g} s (limits.arrival_seconds)."
    return _raw(408, error_body(408, message), "Connection: close\r\n")


def failed(error: Exception) -> bytes:
    """What is said of a request that never reached Flask."""
    status, message = next(
        (status, message) for kind, status, message in _MESSAGES if isinstance(error, kind)
    )
    return _raw(status, error_body(status, message), "Connection: close\r\n")


def _raw(status: int, body: bytes, more: str) -> bytes:
    before, after = _around_id(status, body, more)
    return before + new_request_id().encode() + after


def _around_id(status: int, body: bytes, more: str) -> tuple[bytes, bytes]:
    """An answer, of which only the request's id is missing."""
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n{more}Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{REQUEST_ID}: "
    )
    return head.encode(), f"\r\n{RAW_HEADERS}\r\n".encode() + body


def _refusal(more: str) -> tuple[bytes, bytes]:
    message = "The service is busy; try again in a second."
    return _around_id(503, error_body(503, message, "overloaded"), f"Retry-After: 1\r\n{more}")


_REFUSALS: Final = {True: _refusal(""), False: _refusal("Connection: close\r\n")}
