"""settings.py: the section [admission]: when a request is refused at once."""

from typing import Annotated

import msgspec

from indexes.workspace import Settings


class AdmissionSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many requests may wait in each process before POST /rerank answers 503."""

    budget_share: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description="Share of a request's budget_ms that its wait for a turn and its own "
            "computing may take, by the speed of the last ones; one that would take more is "
            "answered with 503 and Retry-After.",
        ),
    ] = 0.7
    requests: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Requests that are let in when they come at once to a process that has "
            "nothing to do, whatever they take, ...",
        ),
    ] = 16
    candidates: Annotated[
        int,
        msgspec.Meta(ge=1, description="... as long as they have no more candidates in all."),
    ] = 16_000
