"""recommend.py: Metarank's `POST /recommend/<model>` <-> our recommendations.

https://docs.metarank.ai/reference/api. The model is a blend: `recommend`, which a training fits, or
any other. `items` are what the page shows.
"""

from typing import Annotated, Final

import msgspec

from reranker.applications.recommendations.wishes import PageContext, Wish
from reranker.errors import BadRequest
from reranker.feedback.log import RankingLog
from reranker.requests import RerankRequest
from service.api.recommend import MOST_N, Recommending
from service.api.requests import decoded
from service.api.sent import Name, name_of
from service.formats.scores import falling
from service.http.received import arrival
from service.live.reload import Served


class MetarankWanted(msgspec.Struct, frozen=True):
    """What is asked."""

    count: Annotated[int, msgspec.Meta(ge=1, le=MOST_N)]
    user: Name = None
    items: list[str | int | float] | None = None


class MetarankRecommended(msgspec.Struct, frozen=True):
    """One item."""

    item: str
    score: float


class MetarankRecommendations(msgspec.Struct, frozen=True):
    """What is answered, best first. took: milliseconds."""

    took: int
    items: list[MetarankRecommended]


_decoder: Final = msgspec.json.Decoder(MetarankWanted)


def metarank_recommendations(
    recommending: Recommending, rankings: RankingLog, served: Served, model: str, body: bytes
) -> MetarankRecommendations:
    """UnknownBlend for a model that is none; BadRequest with the field."""
    started, state = arrival(), served.state
    sent = decoded(_decoder, body)
    shopper = RerankRequest([], user=name_of("user", sent.user), blend=model)
    wish = Wish(shopper, PageContext(cart=_names(sent.items)), top_n=sent.count)
    answer = recommending.answer(wish, state, started, rankings=rankings)
    scores = falling([result.score for result in answer.results])
    items = [
        MetarankRecommended(result.id, score)
        for result, score in zip(answer.results, scores, strict=True)
    ]
    return MetarankRecommendations(round(answer.took_ms), items)


def _names(sent: list[str | int | float] | None) -> list[str]:
    """Ids in their one form, each once."""
    names = [name_of(f"items[{place}]", value) for place, value in enumerate(sent or ())]
    if None in names:
        place = names.index(None)
        raise BadRequest(f"items[{place}] is empty; an id is expected.", field=f"items[{place}]")
    return list(dict.fromkeys(name for name in names if name is not None))
