"""recommend.py: POST /recommend, GET /items/<id>/similar, GET /trending -> items with reasons."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Final, cast, get_args

import msgspec
from flask import Blueprint, Response, request

from reranker.applications.recommendations.candidates import CatalogueLists
from reranker.applications.recommendations.item_lists import By, similar, trending
from reranker.applications.recommendations.recommend import (
    Prepared,
    prepare,
    recommended,
    shown,
    without_history,
)
from reranker.applications.recommendations.trending import (
    HALF_LIFE_DAYS,
    WINDOW_DAYS,
    stored_events,
)
from reranker.applications.recommendations.wishes import (
    TOP_N,
    Exclude,
    Filters,
    PageContext,
    PriceRange,
    Recommendations,
    Recommended,
    Source,
    Wish,
)
from reranker.errors import BadRequest
from reranker.events.settings import EventSettings
from reranker.feedback.log import RankingLog
from reranker.ranking.deadlines import TooLate
from reranker.ranking.ranking import BlendName, Degraded
from reranker.ranking.state import ServedState
from reranker.runtime.budget import Stages
from reranker.runtime.refreshed import Refreshed
from service.api.requests import RequestReader, decoded
from service.api.rerank import ranking_id
from service.api.sent import Name, Wanted, Whole, name_of
from service.http.answers import error_answer, json_answer
from service.http.received import arrival, deadline_of, read_body, refuse_long_lists
from service.http.settings import LimitSettings
from service.live.reload import Served
from service.observability.request_ids import note_ranking

MOST_N: Final = 1000  # recommendations of one request
LONGEST_DAYS: Final = 36_500
_FRESH_SECONDS: Final = 60.0  # after which stored events are counted anew
TopN = Annotated[Whole, msgspec.Meta(ge=1, le=MOST_N)]


class SentContext(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the recommendations will stand."""

    item: Name = None
    cart: list[str | int | float] | None = None
    category: str | None = None
    query: Name = None


class SentPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Both ends belong to it; an item without a price is in no range."""

    min: float | None = None
    max: float | None = None


class SentFilters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every recommendation has to be. available: true lets pass what does not say."""

    category: str | None = None
    brand: list[str] | None = None
    price: SentPrice | None = None
    available: bool | None = None
    attributes: dict[str, list[str | int | float | bool]] | None = None


class SentExclude(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What no recommendation may be: what this shopper bought, what is in the cart, these items."""

    bought: bool | None = None
    in_cart: bool | None = None
    items: list[str | int | float] | None = None


class RecommendRequest(Wanted, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /recommend` takes; nothing is required."""

    context: SentContext | None = None
    filters: SentFilters | None = None
    exclude: SentExclude | None = None
    top_n: TopN | None = None
    diversity: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


class RecommendAnswer(msgspec.Struct, frozen=True):
    """What the three routes answer. source: which of the fallbacks gave the first items."""

    id: str
    results: list[Recommended]
    blend: BlendName | None
    versions: dict[str, str | None]
    degraded: list[Degraded]
    source: Source
    took_ms: float


_body: Final = msgspec.json.Decoder(RecommendRequest)


class Lists:
    """The lists of the state that is served; made anew when another one is swapped in."""

    def __init__(self) -> None:
        self._of: tuple[ServedState, CatalogueLists] | None = None

    def of(self, state: ServedState) -> CatalogueLists:
        """Those of this state."""
        made = self._of
        if made is None or made[0] is not state:
            self._of = made = state, CatalogueLists(state.index, state.personal.learned)
        return made[1]


class Recommending:
    """What every route that recommends to a shopper ends in: prepare, rank, say why, note, log."""

    def __init__(self, served: Served, reader: RequestReader, limits: LimitSettings) -> None:
        self.lists = Lists()
        self._served, self._reader, self._limits = served, reader, limits

    def read_and_answer(self, body: bytes, rankings: RankingLog | None = None) -> RecommendAnswer:
        """The same for the body of POST /recommend. Malformed, BadRequest."""
        state, started = self._served.state, arrival()
        wish, cut = read_wish(body, self._reader, self._limits)
        return self.answer(wish, state, started, cut, rankings)

    def answer(
        self,
        wish: Wish,
        state: ServedState,
        started: float,
        cut: tuple[Degraded, ...] = (),
        rankings: RankingLog | None = None,
    ) -> RecommendAnswer:
        """In time. started: `time.perf_counter()`; cut: what was shortened before it was read.

        rankings: where it is kept what was shown; None: no shopper sees it.
        """
        deadline = deadline_of(started, wish.shopper.budget_ms or self._served.budget_ms)
        lists, late = self.lists.of(state), ""
        prepared: Prepared
        try:
            prepared = self._served.ranker.run(partial(prepare, wish, state, lists), deadline)
        except TooLate as too_late:
            late = too_late.reason
            prepared = without_history(wish, state, lists)
        ranking = self._served.ranker.rerank(prepared.request, prepared.state, deadline, Stages())
        note_ranking(prepared.request, ranking)
        answer = _written(recommended(prepared, ranking, late), started, cut)
        if rankings is not None:
            # At the time of the clock, where none was asked for: what was prepared is of the past.
            asked = msgspec.structs.replace(prepared.request, time=wish.shopper.time)
            rankings.add(answer.id, asked, shown(ranking, wish.top_n))
        return answer


def recommend_routes(
    recommending: Recommending,
    served: Served,
    reader: RequestReader,
    limits: LimitSettings,
    events: EventSettings,
    rankings: RankingLog,
) -> Blueprint:
    """The routes."""
    routes = Blueprint("recommend", __name__)
    lists = recommending.lists
    read = partial(stored_events, served.histories, events.weights())
    trends = Refreshed(read, "trends", _FRESH_SECONDS)

    @routes.post("/recommend")
    def recommend_route() -> Response:
        body = read_body(limits.body_bytes)
        return json_answer(recommending.read_and_answer(body, rankings))

    @routes.get("/items/<path:item>/similar")
    def similar_route(item: str) -> Response:
        state, started = served.state, arrival()
        _refuse_unknown("top_n", "by")
        top_n, by = _top_n(), request.args.get("by", "both")
        if by not in get_args(By):
            raise BadRequest(
                f"by is {by!r}; one of {', '.join(get_args(By))} is expected.", field="by"
            )
        name = name_of("id", item)
        if name is None or state.index.rows([name])[0] < 0:
            return error_answer(404, "The index holds no item of this id.", "unknown_item", "id")
        work = partial(similar, state, lists.of(state), name, cast(By, by), top_n)
        return _answered(work, started)

    @routes.get("/trending")
    def trending_route() -> Response:
        state, started = served.state, arrival()
        _refuse_unknown("top_n", "window_days", "half_life_days", "category", "as_of")
        window = _number("window_days", WINDOW_DAYS)
        half_life = _number("half_life_days", HALF_LIFE_DAYS)
        as_of = reader.seconds(request.args.get("as_of"), "as_of")
        top_n, category = _top_n(), request.args.get("category", "")
        stored = trends(deadline_of(started, served.budget_ms))
        work = partial(
            trending, state, lists.of(state), stored, as_of, window, half_life, category, top_n
        )
        return _answered(work, started)

    return routes


def read_wish(
    body: bytes, reader: RequestReader, limits: LimitSettings
) -> tuple[Wish, tuple[Degraded, ...]]:
    """The typed wish, and what of it was cut. Raises Malformed, or BadRequest with the field."""
    most = {"history": limits.history, "cart": limits.candidates, "items": limits.candidates}
    refuse_long_lists(body, most)
    sent = decoded(_body, body or b"{}")
    asked = reader.read_wanted(sent, (sent.context or SentContext()).query)
    context, exclude = sent.context or SentContext(), sent.exclude or SentExclude()
    top_n = TOP_N if sent.top_n is None else int(sent.top_n)
    wish = Wish(
        shopper=asked.request,
        context=PageContext(
            item=name_of("context.item", context.item),
            cart=_names("context.cart", context.cart, limits.candidates),
            category=context.category or None,
            query=asked.request.query,
        ),
        filters=_filters(sent.filters or SentFilters()),
        exclude=Exclude(
            bought=bool(exclude.bought),
            in_cart=bool(exclude.in_cart),
            items=_names("exclude.items", exclude.items, limits.candidates),
        ),
        top_n=top_n,
        diversity=sent.diversity,
    )
    return wish, asked.cut


def _filters(sent: SentFilters) -> Filters:
    price = sent.price
    if price is not None and price.min is not None and price.max is not None:
        if price.min > price.max:
            raise BadRequest(
                f"filters.price.min is {price.min:g}, above max, {price.max:g}; no price is "
                "between them.",
                field="filters.price.min",
            )
    return Filters(
        category=sent.category or None,
        brand=sent.brand or [],
        price=None if price is None else PriceRange(price.min, price.max),
        available=sent.available,
        attributes={name: list(values) for name, values in (sent.attributes or {}).items()},
    )


def _names(field: str, sent: Sequence[str | int | float] | None, most: int) -> list[str]:
    """Ids in their one form, each once."""
    if len(sent or ()) > most:
        raise BadRequest(
            f"{field} has {len(sent or ()):,} entries; at most {most:,} are allowed.", field=field
        )
    names = [name_of(f"{field}[{place}]", value) for place, value in enumerate(sent or ())]
    return list(dict.fromkeys(name for name in names if name is not None))


def _answered(work: Callable[[], Recommendations], started: float) -> Response:
    return json_answer(_written(work(), started))


def _written(
    made: Recommendations, started: float, cut: tuple[Degraded, ...] = ()
) -> RecommendAnswer:
    return RecommendAnswer(
        id=ranking_id(),
        results=made.results,
        blend=made.blend,
        versions=made.versions,
        degraded=[*made.degraded, *cut],
        source=made.source,
        took_ms=round((time.perf_counter() - started) * 1000, 3),
    )


def _refuse_unknown(*known: str) -> None:
    """BadRequest for a parameter that the route does not know."""
    for name in request.args:
        if name not in known:
            raise BadRequest(
                f"{name[:80]!r} is not known here; {', '.join(known)} are.", field=name[:80]
            )


def _top_n() -> int:
    sent = request.args.get("top_n")
    if sent is None:
        return TOP_N
    if not sent.isascii() or not sent.isdecimal() or len(sent) > 9 or not 1 <= int(sent) <= MOST_N:
        raise BadRequest(
            f"top_n is {sent[:80]!r}; a whole number from 1 to {MOST_N} is expected.", field="top_n"
        )
    return int(sent)


def _number(name: str, default: float) -> float:
    sent = request.args.get(name)
    if sent is None:
        return default
    try:
        number = float(sent)
    except ValueError:
        number = math.nan
    if not 0 < number <= LONGEST_DAYS:
        raise BadRequest(
            f"{name} is {sent[:80]!r}; a number above 0 and up to {LONGEST_DAYS:,} is expected.",
            field=name,
        )
    return number
