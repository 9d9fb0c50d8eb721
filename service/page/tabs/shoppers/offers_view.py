"""offers_view.py: a shopper -> recommendations with reasons, and what completes the cart."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from dash import html
from msgspec.json import encode

from reranker.applications.carts.cart_answers import CartResult
from service.api.cart import CartAnswer
from service.api.recommend import RecommendAnswer
from service.page.parts.context import Page
from service.page.parts.widgets import aria
from service.page.tabs.shoppers.item_rows import ItemLine, item_list
from service.page.tabs.shoppers.moments import Moment
from service.page.tabs.shoppers.reasons import left_out, nothing

PATIENCE_MS: Final = 5_000  # a person waits longer than a shop's page
NO_QUERY: Final = "no_query"  # of signals of a search: here is none
_RECOMMENDED, _COMPLETING, _NEXT = 8, 5, 4
_SOURCES: Final = {
    "personal": "From this history.",
    "session": "From this session.",
    "together": "From what goes together.",
    "popular_in_category": "Popular in the category: nothing is known of this shopper.",
    "popular": "What is popular: nothing is known of this shopper.",
    "newest": "The newest items: nothing is known of this shopper, nor of what is popular.",
}


class Offered(NamedTuple):
    """What is shown, and how much personal signals counted in it."""

    view: Any
    gate: float | None


def recommendations(page: Page, moment: Moment) -> Offered:
    """What POST /recommend answers. BadRequest as it does."""
    body = moment.shopper() | {
        "as_of": moment.now,
        "top_n": _RECOMMENDED,
        "explain": True,
        "budget_ms": PATIENCE_MS,
    }
    answer = page.applications.recommend.read_and_answer(encode(body))
    explained = answer.results[0].explanation if answer.results else None
    return Offered(_recommended(page, answer), explained.gate if explained else None)


def _recommended(page: Page, answer: RecommendAnswer) -> Any:
    lines = [
        ItemLine(
            result.id,
            result.reason.text,
            f"{result.score:.2f}",
            result.explanation.contributions if result.explanation else {},
        )
        for result in answer.results
    ]
    scale = max(
        (sum(amount for amount in line.parts.values() if amount > 0) for line in lines), default=0.0
    )
    return html.Div(
        [
            html.P(_SOURCES.get(answer.source, answer.source), className="quiet small"),
            item_list(page, lines, scale, what_if="recommended")
            if lines
            else nothing(["There is no item to recommend."]),
            left_out(
                (part.signal, part.reason) for part in answer.degraded if part.reason != NO_QUERY
            ),
        ]
    )


def cart_view(page: Page, moment: Moment) -> Any:
    """What POST /cart answers about the cart of the newest visit. BadRequest as it does."""
    cart = [{"item": line.item, "quantity": line.quantity} for line in moment.cart()]
    body = moment.shopper() | {
        "cart": cart,
        "time": moment.now,
        "top_n": max(_COMPLETING, _NEXT),
        "budget_ms": PATIENCE_MS,
    }
    answer = page.applications.cart.answer(encode(body))
    lost = [(part.signal, part.reason) for part in answer.degraded]
    return html.Div([*_in_cart(page, answer), *_lists(page, answer), left_out(lost)])


def _in_cart(page: Page, answer: CartAnswer) -> list[Any]:
    if not answer.cart:
        return [nothing(["The newest visit left nothing in the cart. “+ cart” puts an item in."])]
    lines = [
        ItemLine(line.item, figure="" if line.quantity == 1 else f"× {line.quantity:g}")
        for line in answer.cart
    ]
    return [item_list(page, lines), *_ordered(answer.ordered)]


def _ordered(chance: float | None) -> list[Any]:
    if chance is None:
        return []
    words = f"ordered in this visit: {chance:.0%}"
    return [
        html.Div(
            [html.Span("ordered in this visit"), html.B(f"{chance:.0%}")], className="gate-line"
        ),
        html.Div(
            html.Div(style={"width": f"{chance:.0%}"}),
            className="meter",
            role="img",
            **aria(label=words),
        ),
    ]


def _lists(page: Page, answer: CartAnswer) -> list[Any]:
    """complete only beside something that it could complete."""
    shown = [("Next basket", answer.next[:_NEXT], "next")]
    if answer.cart:
        shown.insert(0, ("Completes the cart", answer.complete[:_COMPLETING], "complete"))
    return [
        part
        for title, results, of in shown
        for part in (html.H3(title), _results(page, results, of))
    ]


def _results(page: Page, results: Sequence[CartResult], of: str) -> Any:
    if not results:
        return nothing(["Nothing can be offered."])
    lines = [ItemLine(result.id, result.reason.text, f"{result.score:.2f}") for result in results]
    return item_list(page, lines, what_if=of)
