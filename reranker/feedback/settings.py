"""settings.py: the section [rankings]: whether and how long rankings are logged."""

from typing import Annotated

import msgspec

from indexes.workspace import Settings


class RankingLogSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The log of rankings, from which judged requests and estimates are made."""

    log: Annotated[
        bool,
        msgspec.Meta(
            description="Log every ranking, under pseudonyms, in the home's rankings folder."
        ),
    ] = True
    days: Annotated[
        int, msgspec.Meta(ge=1, description="Days after which logged rankings are deleted.")
    ] = 30
    megabytes: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Most megabytes of logged rankings: the oldest days make room; what one "
            "day has beyond it is not logged.",
        ),
    ] = 2000
