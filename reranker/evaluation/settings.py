"""settings.py: the section [evaluation]."""

from typing import Annotated

import msgspec

from indexes.workspace import Settings
from reranker.metrics.intervals import RESAMPLES, SEED


class EvaluationSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How requests are evaluated."""

    max_bad_share: Annotated[
        float,
        msgspec.Meta(ge=0, le=1, description="Share of bad lines above which a file is refused."),
    ] = 0.01
    resamples: Annotated[
        int,
        msgspec.Meta(ge=100, description="Resamples behind each interval and each p-value."),
    ] = RESAMPLES
    seed: Annotated[
        int, msgspec.Meta(ge=0, description="Seed of the resamples: equal seeds, equal numbers.")
    ] = SEED
