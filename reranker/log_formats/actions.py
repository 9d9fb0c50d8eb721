"""actions.py: what other systems call an action -> a type of event, or an impression."""

import re
from collections.abc import Collection
from typing import Final

IMPRESSION: Final = "impression"
_WORDS: Final = {
    "view": (
        *(
            "click",
            "item_click",
            "product_click",
            "result_click",
            "impression_click",
            "clickthrough",
        ),
        *("view_item", "item_view", "view_product", "product_view", "detail_page_view", "detail"),
        *("select_item", "select_content", "watch", "pdp_view", "view"),
    ),
    "cart": ("add_to_cart", "addtocart", "add_to_basket", "cart_add", "cart", "add"),
    "uncart": ("remove_from_cart", "removefromcart", "cart_remove", "uncart"),
    "purchase": ("purchase", "purchase_complete", "buy", "order", "transaction"),
    "cancel": ("refund", "return", "cancel"),
    "search": ("search", "view_search_results", "query"),
    IMPRESSION: ("impression", "impressions", "view_item_list", "item_impression", "displayed"),
}
_TYPES: Final = {word: kind for kind, words in _WORDS.items() for word in words}
_APART: Final = re.compile(r"[^a-z0-9]+")


def action_type(action: str, own: Collection[str] = ()) -> str | None:
    """The type of event that an action is, or IMPRESSION; None for what no table knows.

    own: types and words of the shop's settings (events.types), which come before all others.
    """
    word = action.strip().lower()
    return word if word in own else _TYPES.get(_APART.sub("_", word).strip("_"))
