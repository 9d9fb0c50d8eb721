"""settings.py: the section [admission]: when a request is refused at once."""

from typing import Annotated

import msgspec

from indexes.workspace import Settings


class AdmissionSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many requests may wait in each process before POST /rerank answers 503."""

    wait_ms: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description="Longest wait for a turn; a request that would wait longer, at the speed "
            "of the last ones, is answered with 503 and Retry-After.",
        ),
    ] = 40.0
    requests: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Requests that are let in when they come at once, whatever it takes (half "
            "of them when they go on and on), ...",
        ),
    ] = 16
    candidates: Annotated[
        int,
        msgspec.Meta(ge=1, description="... as long as they have no more candidates in all."),
    ] = 16_000
