"""errors.py: our answer to what went wrong -> the same as its format says it."""

import logging
from typing import Final

import msgspec
from flask import Flask, Response, g

from service.formats.foreign import Format
from service.http.answers import ErrorAnswer, json_answer

log = logging.getLogger("reranker")

_ours: Final = msgspec.json.Decoder(ErrorAnswer)


def register_error_formats(app: Flask) -> None:
    """Whoever is refused once its format is known hears so in its own format.

    Before, at the door (key, site, rate), nobody knows which it will be: there all hear ours.
    """

    @app.after_request
    def translate(answer: Response) -> Response:
        if answer.status_code < 400:
            return answer
        format_: Format | None = getattr(g, "error_format", None)
        if format_ is None:
            return answer
        status, payload = format_.error(answer.status_code, _ours.decode(answer.get_data()).error)
        answer.status_code = status
        answer.set_data(json_answer(payload).get_data())
        return answer
