"""settings.py: the section [reload]: how what is published is taken up."""

from typing import Annotated

import msgspec

from indexes.workspace import Settings


class ReloadSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How newly published versions reach a running service."""

    seconds: Annotated[
        float,
        msgspec.Meta(gt=0, description="Seconds between looks for a newly published version."),
    ] = 1.0
