"""searches.py: a whole POST /rerank, not parsed -> its candidates, and the time that it has.

The gate decides on the main thread, before anything is parsed: it looks for marks in the bytes.
"""

import re
from typing import Any, Final

from service.http.received import TIMEOUT_HEADER, shortened

_CANDIDATE: Final = b'"id"'
_TEXT: Final = b'",'
_BUDGET: Final = b'"budget_ms"'
_NUMBER: Final = re.compile(rb"\s*:\s*([0-9][0-9.eE+-]{0,31})")
_BLOCK: Final = 65_536  # of a body that is searched at once
_PACKED_BYTES: Final = 8  # of a gzipped body, of one candidate with its score
_TIMEOUT: Final = TIMEOUT_HEADER.upper()  # as gunicorn's parser names fields


def candidates_of(request: Any, body: bytes, most: int) -> int:
    """Candidates of a body, as far as `most`: more are refused when it is read.

    A quoted text cannot hold the mark, since JSON escapes its quotes. Events with an id of their
    own count, too. A body without a mark may list documents, texts, as other formats do: there
    the texts that another thing follows count. Of a gzipped body the bytes have to do.
    """
    if any(
        name == "CONTENT-ENCODING" and "gzip" in value.lower() for name, value in request.headers
    ):
        return min(len(body) // _PACKED_BYTES, most)
    return candidates_in(body, most) or min(body.count(_TEXT), most)


def candidates_in(body: bytes, most: int) -> int:
    """Marks of candidates, counted a block at a time until there are `most`."""
    count = 0
    for start in range(0, len(body), _BLOCK):
        if count >= most:
            break
        count += body.count(_CANDIDATE, start, start + _BLOCK + len(_CANDIDATE) - 1)
    return min(count, most)


def budget_of(request: Any, body: bytes, usual_ms: float) -> float:
    """Seconds from its arrival in which a request wants its answer, as the route will find them.

    usual_ms: of one that says nothing, or nothing that can be read here.
    """
    at = body.find(_BUDGET)
    number = _NUMBER.match(body, at + len(_BUDGET)) if at >= 0 else None
    if number is not None:
        try:
            usual_ms = float(number[1]) or usual_ms
        except ValueError:  # the route says so
            pass
    sent = None
    for name, value in request.headers:
        if name == _TIMEOUT:
            sent = value
            break
    return shortened(usual_ms, sent)
