"""settings.py: the section [rebuild]: what is read, what fails, how many versions stay."""

from typing import Annotated

import msgspec

from indexes.items.text import DEFAULT_TEMPLATE
from indexes.workspace import Settings


class RebuildSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The offline index rebuild."""

    template: Annotated[
        str,
        msgspec.Meta(
            description="What the encoder reads of an item; {attributes.NAME} and the "
            "catalogue's own columns can be named too."
        ),
    ] = DEFAULT_TEMPLATE
    max_bad_share: Annotated[
        float,
        msgspec.Meta(ge=0, le=1, description="A larger share of unusable lines fails the rebuild."),
    ] = 0.01
    max_shrink: Annotated[
        float,
        msgspec.Meta(
            ge=0, le=1, description="A larger loss of items is not published without --force."
        ),
    ] = 0.2
    keep: Annotated[
        int, msgspec.Meta(ge=1, description="Versions kept, the served one among them.")
    ] = 3
    columns: Annotated[
        list[str],
        msgspec.Meta(
            description="Which column is which field, such as `title=artikel`; goes before the "
            "usual other names."
        ),
    ] = []
    item_vectors: Annotated[
        list[str],
        msgspec.Meta(
            description="Vectors that join by item id, such as `image=vectors.parquet` (or .npy "
            "beside .ids.txt); a relative path is in the home."
        ),
    ] = []
    vector_weights: Annotated[
        list[str],
        msgspec.Meta(
            description="How much each of these vectors counts where items are compared by them, "
            "such as `image=0.5`; 1 where nothing is said."
        ),
    ] = []
