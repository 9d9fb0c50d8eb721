"""limits.py: how large a request may be -> what is refused before it costs anything."""

from typing import Annotated, Final

import msgspec

from indexes.workspace import Settings

MAX_DEPTH: Final = 16  # JSON nesting; the request format itself goes 4 deep
MAX_NAME: Final = 512  # characters of user, session, blend and of every name in an event


class LimitSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large one request may be."""

    body_bytes: Annotated[
        int, msgspec.Meta(ge=1, description="Largest request body; more is answered with 413.")
    ] = 8 * 1024 * 1024
    candidates: Annotated[
        int, msgspec.Meta(ge=1, description="Most candidates in one request; more is 422.")
    ] = 5000
    query_chars: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Longest query, in characters; longer is cut, and named in `degraded`.",
        ),
    ] = 2000
    text_chars: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="Longest text of a candidate; longer is cut, and named in `degraded`."
        ),
    ] = 20_000
    arrival_seconds: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description="Seconds in which a request has to arrive, from its first byte to its "
            "last; slower is 408 and closed.",
        ),
    ] = 10.0
    answer_seconds: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description="Seconds without a byte of an answer taken by its client, after which the "
            "connection is closed.",
        ),
    ] = 30.0
    unread_bytes: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Bytes of an answer that may wait for its client; a connection with more "
            "is closed.",
        ),
    ] = 16 * 1024 * 1024
    unread_bytes_caller: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Bytes of answers that may wait, in each process, for all connections of "
            "one API key, or, without keys, of one address; beyond it the one that has taken "
            "nothing for longest is closed.",
        ),
    ] = 64 * 1024 * 1024
    rate: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=1_000_000,
            description="Requests per second of each API key that has no rate of its own, over all "
            "workers; more is 429. 0: no limit.",
        ),
    ] = 0.0
    history: Annotated[
        int, msgspec.Meta(ge=0, description="Most events in a request's history; more is 422.")
    ] = 1000
