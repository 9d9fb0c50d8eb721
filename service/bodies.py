"""bodies.py: the body of a request, however it is framed -> bytes, never more than allowed."""

from flask import request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from service.answers import Malformed


def read_body(most: int, *, keep: bool = False) -> bytes:
    """The body; 413 when it is longer than `most`, announced (then it is not read) or chunked.
    keep: for whoever reads the request again.

    The application's MAX_CONTENT_LENGTH has to be most + 1: of a chunked body that is too long
    Werkzeug hands out the beginning as if it were all.
    """
    try:
        body = request.get_data(cache=keep)
    except HTTPException:
        raise
    except Exception as error:  # broken chunks, or a sender who hung up: the server's own errors
        raise Malformed(f"The body could not be read to its end: {error}.") from None
    if len(body) > most:
        raise RequestEntityTooLarge
    return body
