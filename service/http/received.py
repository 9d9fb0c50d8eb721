"""received.py: a request as it came -> its body, never more than allowed, and when it has to end.

A decoder builds all of a list before its length can be asked. Millions of tiny members take many
times the memory of their text; here they are counted where they stand, up to the limit.
"""

import codecs
import math
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from flask import request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, UnsupportedMediaType

from indexes.readers.unpacking import BadPacking, TooLarge, unpacked
from reranker.errors import BadRequest
from service.http.answers import Malformed

TIMEOUT_HEADER: Final = "X-Request-Timeout-Ms"
MAX_DEPTH: Final = 16  # JSON nesting; the request format itself goes 4 deep
_LONGEST: Final = 3600.0  # seconds that anybody waits
_GZIP: Final = ("gzip", "x-gzip")
CHEAP: Final = 65_536  # members, or fewer, cost too little to be counted first
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT: Final = rb'[\[{][^][{}"]*+(?:%s[^][{}"]*+)*+[\]}]' % _STRING  # holds no list, no object
# Each runs up to the next bracket that has to be counted; the second, up to a comma, too.
_AROUND: Final = re.compile(rb'(?:[^][{}"]++|%s)*+' % _STRING, re.DOTALL)
_MEMBER: Final = re.compile(rb'(?:[^][{}",]++|%s|%s)*+' % (_STRING, _FLAT), re.DOTALL)
_INSIDE: Final = re.compile(rb'(?:[^][{}"]++|%s|%s)*+' % (_STRING, _FLAT), re.DOTALL)
_KEY: Final = re.compile(rb'"([^"\\]{1,64})"\s*:\s*\Z')
_BEFORE: Final = 256  # bytes before a list in which its key is looked for


class _Here(threading.local):
    at: float | None = None
    caller: str | None = None


_here = _Here()


@contextmanager
def arrived(at: float) -> Iterator[None]:
    """Tell the application when the server read the request that this thread answers."""
    _here.at, _here.caller = at, None
    try:
        yield
    finally:
        _here.at = None


def note_caller(name: str) -> None:
    """Tell the server whose request this thread answers: the name of a key."""
    _here.caller = name


def noted_caller() -> str | None:
    """Whose request this thread answers; None where no key was needed."""
    return _here.caller


def arrival() -> float:
    """When the request of this thread came, on `time.perf_counter`: before it waited its turn."""
    return time.perf_counter() if _here.at is None else _here.at


def deadline_of(arrival: float, budget_ms: float) -> float:
    """When the answer has to be there, on `time.perf_counter`.

    The caller's own timeout can only shorten the budget.
    """
    return arrival + shortened(budget_ms, request.headers.get(TIMEOUT_HEADER))


def shortened(budget_ms: float, sent: str | None) -> float:
    """Seconds of a budget, or of the timeout that was sent, where this is shorter; one that is no
    number says nothing."""
    if sent is not None:
        try:
            timeout = float(sent)
        except ValueError:
            timeout = math.nan
        if timeout > 0:
            budget_ms = min(budget_ms, timeout)
    return min(budget_ms / 1000, _LONGEST)


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


def has_more(body: bytes, most: int) -> bool:
    """Whether the array that this body is has more than `most` members; False for any other."""
    return body.count(b",") >= max(most, CHEAP) and _too_long(body, 1, most) is not None


def refuse_long_lists(body: bytes, most: Mapping[str, int]) -> None:
    """BadRequest where a list of the object that this body is has more members than the largest of
    these limits, by field; where it has fewer, the caller can build it and look."""
    limit = max(most.values())
    if body.count(b",") < max(limit, CHEAP):
        return
    start = _too_long(body, 2, limit)
    if start is None:
        return
    key = _KEY.search(body[max(start - _BEFORE, 0) : start])
    field = key[1].decode(errors="replace") if key else None
    allowed = most.get(field or "", limit)
    raise BadRequest(
        f"{field or 'A list'} has more than {allowed:,} entries; at most {allowed:,} are allowed.",
        field=field,
    )


def _too_long(body: bytes, depth: int, most: int) -> int | None:
    """Where the first list, or object, this deep begins that has more than `most` members; None
    where there is none, and where the body is no JSON: the decoder then says so."""
    level = commas = start = at = 0
    while True:
        skip = _MEMBER if level == depth else _INSIDE if level > depth else _AROUND
        skipped = skip.match(body, at)
        at = skipped.end() if skipped else at
        sign = body[at : at + 1]
        if sign == b",":
            commas += 1
            if commas >= most:
                return start
        elif sign in (b"[", b"{"):
            level += 1
            if level == depth:
                commas, start = 0, at
        elif sign in (b"]", b"}") and level > 0:
            level -= 1
        else:  # the end, or a text without one
            return None
        at += 1
