"""wishes.py: what a shop asks recommendations for -> typed: context, filters, what is left out."""

from typing import Any, Final, Literal

import msgspec

from reranker.ranking.explanations import Explanation
from reranker.ranking.ranking import BlendName, Degraded
from reranker.requests import RerankRequest

TOP_N: Final = 20  # recommendations, where a request does not say how many
Source = Literal["personal", "session", "together", "popular_in_category", "popular", "newest"]
Kind = Literal["viewed", "carted", "bought", "searched", "together", "similar", "popular", "new"]


class PageContext(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the recommendations will stand: on an item's page, beside a cart, in a category."""

    item: str | None = None
    cart: list[str] = []
    category: str | None = None
    query: str = ""


class PriceRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Both ends belong to it; an item without a price is in no range."""

    min: float | None = None
    max: float | None = None


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every recommendation has to be. category: a path, or the beginning of one.

    brand: any of these. attributes: of each name, any of these values.
    """

    category: str | None = None
    brand: list[str] = []
    price: PriceRange | None = None
    available: bool | None = None
    attributes: dict[str, list[Any]] = {}


class Exclude(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What no recommendation may be."""

    bought: bool = False
    in_cart: bool = False
    items: list[str] = []


class Wish(msgspec.Struct, frozen=True):
    """One request for recommendations.

    shopper: who, with what history, by which blend, explained or not, as a search without
    candidates; its `time` is `as_of`. diversity: None leaves it to the blend.
    """

    shopper: RerankRequest
    context: PageContext = PageContext()
    filters: Filters = Filters()
    exclude: Exclude = Exclude()
    top_n: int = TOP_N
    diversity: float | None = None


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an item is recommended. item: the one that led to it."""

    kind: Kind
    text: str
    item: str | None = None


class Recommended(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One item. rank: from 1."""

    id: str
    rank: int
    score: float
    reason: Reason
    explanation: Explanation | None = None


class Recommendations(msgspec.Struct, frozen=True):
    """The items, best first. source: which of the fallbacks gave the first of them."""

    results: list[Recommended]
    blend: BlendName | None
    versions: dict[str, str | None]
    degraded: list[Degraded]
    source: Source
