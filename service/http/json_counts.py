"""json_counts.py: a body, still encoded -> whether a list in it is too long, before it is built.

A decoder builds all of a list before its length can be asked. Millions of tiny members take many
times the memory of their text; here they are counted where they stand, up to the limit.
"""

import re
from collections.abc import Mapping
from typing import Final

from reranker.errors import BadRequest

CHEAP: Final = 65_536  # members, or fewer, cost too little to be counted first
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT: Final = rb'[\[{][^][{}"]*+(?:%s[^][{}"]*+)*+[\]}]' % _STRING  # holds no list, no object
# Each runs up to the next bracket that has to be counted; the second, up to a comma, too.
_AROUND: Final = re.compile(rb'(?:[^][{}"]++|%s)*+' % _STRING, re.DOTALL)
_MEMBER: Final = re.compile(rb'(?:[^][{}",]++|%s|%s)*+' % (_STRING, _FLAT), re.DOTALL)
_INSIDE: Final = re.compile(rb'(?:[^][{}"]++|%s|%s)*+' % (_STRING, _FLAT), re.DOTALL)
_KEY: Final = re.compile(rb'"([^"\\]{1,64})"\s*:\s*\Z')
_BEFORE: Final = 256  # bytes before a list in which its key is looked for


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
