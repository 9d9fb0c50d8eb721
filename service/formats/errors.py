"""errors.py: our answer to what went wrong -> the same as its format says it."""

import logging
from typing import Final

import msgspec
from flask import Flask, Response, g, request

from service.formats.foreign import ErrorFormat, Format
from service.formats.format_routes import AT_THE_DOOR
from service.http.answers import ErrorAnswer, json_answer

log = logging.getLogger("reranker")

_ours: Final = msgspec.json.Decoder(ErrorAnswer)


def register_error_formats(app: Flask) -> None:
    """Whoever is refused hears so in its own format: by its body, or before that is read (key,
    site, rate), by its address. Where an address has several, ours is one of them.
    """

    @app.after_request
    def translate(answer: Response) -> Response:
        if answer.status_code < 400:
            return answer
        error_format = _error_format()
        if error_format is None:
            return answer
        status, payload = error_format(answer.status_code, _ours.decode(answer.get_data()).error)
        answer.status_code = status
        answer.set_data(json_answer(payload).get_data())
        return answer


def _error_format() -> ErrorFormat | None:
    format_: Format | None = getattr(g, "error_format", None)
    if format_ is not None:
        return format_.error
    return AT_THE_DOOR.get(request.url_rule.rule) if request.url_rule else None
