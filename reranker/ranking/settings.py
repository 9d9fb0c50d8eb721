"""settings.py: the section [ranking]."""

from typing import Annotated

import msgspec

from indexes.workspace import Settings


class RankingSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How requests are answered."""

    user_cache: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Shoppers of whose histories is kept what the signals read of them, until "
            "an event is added or 15 minutes pass without a request (0.16 MB each).",
        ),
    ] = 1000
    query_cache: Annotated[
        int, msgspec.Meta(ge=1, description="Query vectors kept in memory (1.6 kB each).")
    ] = 10_000
    text_limit: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="Candidates that the index lacks and whose own text is encoded, at most, "
            "in one request; each new text costs milliseconds.",
        ),
    ] = 100
    encoder_threads: Annotated[
        int, msgspec.Meta(ge=1, description="Threads that encode one query.")
    ] = 1
    budget_ms: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            le=3_600_000,
            description="Milliseconds from a request's arrival in which POST /rerank answers with "
            "what is done by then, where the request has no budget_ms of its own.",
        ),
    ] = 100.0
    breaker_failures: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Failures or timeouts in a row after which the stored histories, the query "
            "encoder or a signal is left out without being tried.",
        ),
    ] = 5
    breaker_seconds: Annotated[
        float, msgspec.Meta(gt=0, description="Seconds until one request tries it again.")
    ] = 5.0
