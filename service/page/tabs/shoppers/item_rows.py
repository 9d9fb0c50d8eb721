"""item_rows.py: items and what is said of each -> a list with their pictures."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from dash import html

from service.page.parts.context import Page
from service.page.parts.item_views import describe
from service.page.parts.widgets import aria

ADDED: Final = ("view", "cart", "purchase")


class ItemLine(NamedTuple):
    """An item of a list. words: why it stands there. figure, parts: beside it, where there are."""

    item: str
    words: str = ""
    figure: str = ""
    parts: Mapping[str, float] = {}


def item_list(page: Page, lines: Sequence[ItemLine], scale: float = 0.0, what_if: str = "") -> Any:
    """The lines with pictures, titles, brands and prices.

    scale: what a full bar stands for; without it none is drawn. what_if: where the list stands, for
    buttons that add an event with the item.
    """
    described = describe(
        page.state.index, [line.item for line in lines], page.thumbnails.thumbnail_of
    )
    return html.Ol(
        [
            html.Li(
                [
                    picture(item),
                    html.Div(_words(line, item), className="item-words"),
                    _score(line, scale) if scale else html.Span(line.figure, className="num"),
                    _what_if(line.item, item["title"], what_if) if what_if else None,
                ],
                className="item-cell",
            )
            for line, item in zip(lines, described, strict=True)
        ],
        className="item-list",
    )


def picture(item: Mapping[str, Any]) -> Any:
    """An item's picture, or the first letter of its title where there is none."""
    if item["image"]:
        return html.Img(src=item["image"], alt="", className="thumb", width=48, height=48)
    letter = str(item["title"]).strip()[:1].upper() or "·"
    return html.Span(letter, className="thumb tile", **aria(hidden="true"))


def _words(line: ItemLine, item: Mapping[str, Any]) -> list[Any]:
    """Title, brand and price, why."""
    price = item["price"]
    more = [
        "" if item["brand"] in item["title"] else item["brand"],
        "" if price is None else f"{price:.2f}",
        "" if item["known"] else "not in the index",
    ]
    words = [
        html.Div(item["title"], className="item-title", title=f"{item['title']}\n{line.item}"),
        html.Div(" · ".join(part for part in more if part), className="item-more"),
    ]
    if line.words:
        words.append(html.Div(line.words, className="item-why", title=line.words))
    return words


def _score(line: ItemLine, scale: float) -> Any:
    """The score over a bar of what speaks for the item, signal by signal."""
    parts = [
        html.Span(
            className=f"part sg-{name}",
            style={"width": f"{amount / scale * 100:.2f}%"},
            title=f"{name} {amount:+.4f}",
        )
        for name, amount in line.parts.items()
        if amount > 0
    ]
    return html.Div(
        [html.Span(line.figure, className="num"), html.Div(parts, className="bar-cell")],
        className="score-cell",
    )


def _what_if(item: str, title: str, of: str) -> Any:
    """What would be, had the shopper done this with the item."""
    buttons = [
        html.Button(
            f"+ {kind}",
            id={"whatif": item, "kind": kind, "of": of},
            className="tiny",
            **aria(label=f"what if: {kind} {title}"),
        )
        for kind in ADDED
    ]
    return html.Div(buttons, className="tinies", title="What if the shopper did this?")
