"""settings.py: the settings of `reranker train`, without torch: every command reads them."""

from typing import Annotated, Final, Literal

import msgspec

from indexes.workspace import Settings

ENCODERS: Final = ("transformer", "gru", "lstm")
EncoderKind = Literal["transformer", "gru", "lstm"]
Fusion = Literal["apart", "joint"]


class TrainSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sequence encoder, and how it is trained."""

    encoder: Annotated[
        EncoderKind, msgspec.Meta(description="What reads a sequence of events.")
    ] = "transformer"
    fusion: Annotated[
        Fusion,
        msgspec.Meta(
            description="apart: an encoder for the items' ids and one for their texts, which learn "
            "by themselves and whose scores are added; joint: one encoder reads both."
        ),
    ] = "joint"
    length: Annotated[
        int, msgspec.Meta(ge=1, le=2000, description="Newest events of a history that are read.")
    ] = 50
    width: Annotated[
        int, msgspec.Meta(ge=4, le=2048, description="Numbers in each part of a user vector.")
    ] = 64
    blocks: Annotated[int, msgspec.Meta(ge=1, le=32, description="Blocks of the Transformer.")] = 2
    heads: Annotated[
        int, msgspec.Meta(ge=1, le=64, description="Attention heads; a divisor of train.width.")
    ] = 1
    dropout: Annotated[
        float, msgspec.Meta(ge=0, lt=1, description="Share of numbers left out while training.")
    ] = 0.2
    id_dropout: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            lt=1,
            description="Share of items that a training step knows by their text alone, so that "
            "new items stand beside known ones; where train.fusion is joint.",
        ),
    ] = 0.1
    modalities: Annotated[
        bool,
        msgspec.Meta(
            description="Items are known by the index's other vectors, too, such as pictures; "
            "false: by texts and ids alone."
        ),
    ] = True
    modality_dropout: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            lt=1,
            description="Share of an item's other vectors that a training step leaves out, so that "
            "items without a picture stand beside those with one.",
        ),
    ] = 0.2
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1, description="Adam's step.")] = 1e-3
    batch_users: Annotated[
        int, msgspec.Meta(ge=1, description="Histories in one training step.")
    ] = 128
    batch_events: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Most events in one training step: long histories are learned from a few "
            "at a time, in more steps.",
        ),
    ] = 4096
    min_users: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Shoppers who have met an item before it is learned by its id; others are "
            "known by their text alone, and popular with nobody. Popularity asks it of each type "
            "of event with the item, too.",
        ),
    ] = 2
    min_users_together: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="Shoppers who have met two items before they count as met together."
        ),
    ] = 2
    user_events: Annotated[
        int,
        msgspec.Meta(ge=1, description="Newest events of one shopper that training counts."),
    ] = 1000
    epochs: Annotated[int, msgspec.Meta(ge=1, description="Most passes over all histories.")] = 200
    patience: Annotated[
        int,
        msgspec.Meta(ge=1, description="Passes without a better validation NDCG@10; then it ends."),
    ] = 10
    minutes: Annotated[
        float,
        msgspec.Meta(ge=0, description="Training ends after this with the best so far; 0: never."),
    ] = 60.0
    full_softmax_items: Annotated[
        int,
        msgspec.Meta(ge=1, description="With more items, only sampled ones enter the loss."),
    ] = 50_000
    negatives: Annotated[
        int, msgspec.Meta(ge=1, description="Items sampled for each step where not all enter.")
    ] = 2048
    validation_users: Annotated[
        int, msgspec.Meta(ge=1, description="Most histories whose last item is held out to stop.")
    ] = 2000
    min_validation_shoppers: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="With fewer shoppers to hold out for validation no encoder is published: "
            "nothing shows that it is any good.",
        ),
    ] = 30
    encoder_proof: Annotated[
        bool,
        msgspec.Meta(
            description="Publish the encoder only where the default blend fitted with it is better "
            "on held-out searches than the one fitted without it; false: whatever it is worth."
        ),
    ] = True
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        msgspec.Meta(
            description="Numbers of a training step; auto: bfloat16 where it measures faster."
        ),
    ] = "auto"
    seed: Annotated[int, msgspec.Meta(ge=0, description="Of everything that is drawn.")] = 1
    keep: Annotated[int, msgspec.Meta(ge=1, description="Model versions kept.")] = 5
