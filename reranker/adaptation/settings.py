"""settings.py: the section [adapt]: how the text encoder learns the shop."""

from typing import Annotated, Literal

import msgspec

from indexes.workspace import Settings


class AdaptSettings(Settings, frozen=True):
    """How far the text encoder may go from where it begins, and for how long."""

    side: Annotated[
        Literal["queries", "both"],
        msgspec.Meta(
            description="What is read by the encoder that learned: queries alone, whose items stay "
            "where they are, or both; then every item is encoded again."
        ),
    ] = "queries"
    layers: Annotated[
        int,
        msgspec.Meta(ge=0, description="How many of the last layers learn; 0: all of them."),
    ] = 2
    rate: Annotated[
        Annotated[float, msgspec.Meta(gt=0, le=1)] | None,
        msgspec.Meta(
            description="Learning rate at its highest (AdamW); empty: 0.0005 where queries alone "
            "learn, 0.00002 where items do, too."
        ),
    ] = None
    anchor: Annotated[
        float,
        msgspec.Meta(
            ge=0, description="How firmly vectors are held to those of the model as it was."
        ),
    ] = 0.2
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
