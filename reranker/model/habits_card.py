"""habits_card.py: the files in which a model version keeps the habits of shoppers."""

from typing import Final

import msgspec

ARRAYS: Final = "habits.safetensors"
HABITS_CARD: Final = "habits.json"


class HabitsCard(msgspec.Struct, frozen=True, kw_only=True):
    """item_ids: of the arrays' rows. lifts: how much more often (log) than by chance the next item
    is one of the shopper's own earlier ones, by the type of the earlier event; 0 for a type that
    too few shoppers have."""

    item_ids: list[str]
    types: list[str]
    lifts: dict[str, float]
    newest: float  # time at which the decayed counts hold: the beginning of a day
