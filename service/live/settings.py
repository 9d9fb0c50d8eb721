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
    source: Annotated[
        str,
        msgspec.Meta(
            description="A store that `reranker publish --to URL` writes: the service takes index, "
            "model and blend from there. Empty: what is published in the home."
        ),
    ] = ""
    pull_seconds: Annotated[
        float,
        msgspec.Meta(gt=0, description="Seconds between looks at reload.source for a newer set."),
    ] = 5.0
