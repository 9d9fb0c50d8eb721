"""settings.py: the sections [serve] and [limits]: where the service runs, what a request may be."""

from typing import Annotated

import msgspec

from indexes.workspace import Settings


class ServeSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where and with how much the service runs."""

    host: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="Address to listen on; any but a loopback address needs an API key.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ] = 8000
    hosts: Annotated[
        list[str],
        msgspec.Meta(
            description="Names (Host headers) to answer to beside loopback ones; on another "
            "address, these alone. Empty there: any name.",
        ),
    ] = []
    origins: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=r"^https?://[^/*\s]+/?\Z")]],
        msgspec.Meta(
            description="Other sites whose pages may call the service, such as "
            "https://shop.example; the engineers' page is for none of them.",
        ),
    ] = []
    workers: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=256, description="Processes; they share the index, so more cost little memory."
        ),
    ] = 2
    threads: Annotated[
        int, msgspec.Meta(ge=1, le=256, description="Requests that one process works on at once.")
    ] = 4
    grace_seconds: Annotated[
        int,
        msgspec.Meta(ge=0, description="Seconds that running requests get when the service stops."),
    ] = 10
    drain_seconds: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=3600,
            description="Seconds after SIGTERM in which /readyz says no and everything is still "
            "answered, so that a load balancer sends its requests elsewhere.",
        ),
    ] = 5.0


class LimitSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large one request may be."""

    body_bytes: Annotated[
        int, msgspec.Meta(ge=1, description="Largest request body; more is answered with 413.")
    ] = 8 * 1024 * 1024
    candidates: Annotated[
        int, msgspec.Meta(ge=1, description="Most candidates in one request; more is 422.")
    ] = 5000
    batch: Annotated[
        int,
        msgspec.Meta(ge=1, description="Most requests in one POST /rerank/batch; more is 422."),
    ] = 100
    kept_rankings: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="Rankings that top_n cut and that each worker keeps whole for 15 minutes, "
            "for GET /rankings/<id>; 0 keeps none.",
        ),
    ] = 15_000
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
