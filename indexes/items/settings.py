"""settings.py: the section [index]: how the index keeps its vectors."""

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
