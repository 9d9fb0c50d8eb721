"""card.py: the files of a model version, and what the weights are built into."""

from typing import Any, Final

import msgspec

ARRAYS: Final = "habits.safetensors"
STATISTICS_CARD: Final = "habits.json"
SEEN: Final = "seen"  # among the arrays: hashes of the ids that were in the index, sorted, ...
SINCE: Final = "since"  # ... and the day since which each may have been met

NONE: Final = -1

LEAVE: Final = "leave"
ACTIONS: Final = ("purchase", "cart", LEAVE)

WEIGHTS: Final = "model.safetensors"
CARD: Final = "model.json"
CHECKPOINT: Final = "training.safetensors"  # of the newest training, in `model/work`
TEXT_SCALE: Final = 0.16  # brings texts, of length 1, to the size that id vectors begin with
NEW_CONTENT: Final = "new_content"  # how often that part counts of items without an id; or once
WHITE: Final = "whitening."  # prefix of the whitening's tensors among the weights


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to build the model again around its weights."""

    format: int = 1
    settings: dict[str, Any]
    text_width: int
    weights: dict[str, float]  # event types with their weights, in the model's order
    item_ids: list[str]  # seen in training: ids 1, 2, ... of the model
    encoder: bool = True  # False: too little to learn one from; the weights are the whitening's


class ItemStatisticsCard(msgspec.Struct, frozen=True, kw_only=True):
    """item_ids: of the arrays' rows. lifts: how much more often (log) than by chance the next item
    is one of the shopper's own earlier ones, by the type of the earlier event; 0 for a type that
    too few shoppers have."""

    item_ids: list[str]
    types: list[str]
    lifts: dict[str, float]
    newest: float  # time at which the decayed counts hold: the beginning of a day
