"""settings.py: the sections [index] and [items]: how vectors are kept, where pictures are."""

from typing import Annotated

import msgspec

from indexes.workspace import Settings


class IndexSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The FAISS part of the index."""

    factory: Annotated[
        str,
        msgspec.Meta(
            description="FAISS index factory string. SQbf16 is half of Flat, as fast to look up by "
            "id, and errs by 2e-6 in cosine; SQ8 is a quarter; IVF and HNSW speed up neighbours."
        ),
    ] = "SQbf16"


class ItemSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the values of an item's fields refer to."""

    image_folder: Annotated[
        str,
        msgspec.Meta(
            description="Folder of the pictures that `image` names by a path within it; a relative "
            "one is in the home. Only PNG, JPEG, WebP, AVIF, GIF and SVG up to 5 MiB are shown."
        ),
    ] = "data/images"
    changed_items: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Most items whose changes (POST /items, `reranker items apply`) wait for "
            "the next rebuild; more is 507.",
        ),
    ] = 100_000
    image_hosts: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?\Z")]],
        msgspec.Meta(
            description="Hosts whose https:// pictures the page may show where `image` is an "
            "address, such as cdn.shop.example; browsers are told to load from no other."
        ),
    ] = []
