"""bodies.py: the body of a request, however it is framed -> bytes, never more than allowed."""

import codecs
from typing import Final

from flask import request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, UnsupportedMediaType

from indexes.readers.unpacking import BadPacking, TooLarge, unpacked
from service.http.answers import Malformed

_GZIP: Final = ("gzip", "x-gzip")


def read_body(most: int, *, keep: bool = False) -> bytes:
    """The body, unpacked where it is gzipped, without a byte order mark.

    413 when it is longer than `most`, packed or unpacked; 415 for another Content-Encoding. keep:
    for whoever reads the request again.
    """
    packed = _is_packed()
    body = _received(most, keep)
    if packed:
        try:
            body = unpacked(body, most)
        except TooLarge:
            raise RequestEntityTooLarge from None
        except BadPacking as error:
            raise Malformed(f"Content-Encoding is gzip, but the body is not: {error}") from None
    return body.removeprefix(codecs.BOM_UTF8)


def _is_packed() -> bool:
    """Whether the body is gzipped, by what the sender says; 415 for what is not known here."""
    named = request.headers.get("Content-Encoding", "")
    codings = [coding.strip().lower() for coding in named.split(",")]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if not codings:
        return False
    if len(codings) > 1 or codings[0] not in _GZIP:
        raise UnsupportedMediaType
    return True


def _received(most: int, keep: bool) -> bytes:
    """The bytes as they came; 413 for more than `most`, announced (then not read) or chunked.

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
