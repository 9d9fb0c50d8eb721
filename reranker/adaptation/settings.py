"""settings.py: the section [adapt]: how the text encoder learns the shop."""

from typing import Annotated

import msgspec

from indexes.workspace import Settings


class AdaptSettings(Settings, frozen=True):
    """How far the text encoder may go from where it begins, and for how long."""

    layers: Annotated[
        int,
        msgspec.Meta(ge=0, description="How many of the last layers learn; 0: all of them."),
    ] = 2
    rate: Annotated[
        float, msgspec.Meta(gt=0, le=1, description="Learning rate at its highest (AdamW).")
    ] = 2e-5
    anchor: Annotated[
        float,
        msgspec.Meta(
            ge=0, description="How firmly vectors are held to those of the model as it was."
        ),
    ] = 1.0
    epochs: Annotated[
        int, msgspec.Meta(ge=1, description="Times that all that is wanted is seen.")
    ] = 3
    minutes: Annotated[
        float,
        msgspec.Meta(ge=0, description="End learning after this with what there is; 0: never."),
    ] = 15.0
    min_users: Annotated[
        int,
        msgspec.Meta(ge=1, description="Shoppers who typed a query before it is learned from."),
    ] = 2
