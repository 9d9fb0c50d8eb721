"""coverage_view.py: what recommendations reach -> the share of the catalogue, and what most get."""

from typing import Any, Final

from dash import html

from reranker.applications.customer_base import CoverageBase
from service.page.parts.context import Page
from service.page.tabs.shoppers.item_rows import ItemLine, item_list

_SOURCES: Final = {
    "personal": "from their own history",
    "session": "from their session",
    "together": "from what goes together",
    "popular_in_category": "popular in a category",
    "popular": "popular items",
    "newest": "the newest items",
}


def coverage_cards(page: Page, reach: CoverageBase) -> list[Any]:
    """How much of the catalogue, and the items that most shoppers get."""
    asked = (
        f"all {reach.asked:,} shoppers"
        if reach.asked == reach.users
        else f"{reach.asked:,} shoppers, evenly spread over {reach.users:,}"
    )
    sources = ", ".join(
        f"{count / max(reach.asked, 1):.0%} {_SOURCES.get(name, name)}"
        for name, count in sorted(reach.sources.items(), key=lambda pair: -pair[1])
    )
    shown = round(reach.coverage * reach.items)
    return [
        html.Section(
            [
                html.H2("Coverage of recommendations"),
                _figure(f"{reach.coverage:.1%}", f"of the catalogue: {shown:,} of {reach.items:,}"),
                _figure(
                    f"{reach.gini:.3f}",
                    "Gini: 0 where all items are shown equally often, 1 where one has it all",
                ),
                html.P(
                    f"The first {reach.top_n} recommendations to {asked}; {sources}.",
                    className="quiet small",
                ),
            ],
            className="card",
        ),
        html.Section([html.H2("Recommended most"), _most(page, reach)], className="card"),
    ]


def _figure(value: str, words: str) -> Any:
    return html.Div(
        [html.B(value, className="figure"), html.Span(words, className="small")],
        className="figure-line",
    )


def _most(page: Page, reach: CoverageBase) -> Any:
    lines = [
        ItemLine(each.item, figure=f"{each.shoppers / max(reach.asked, 1):.1%} of shoppers")
        for each in reach.most[:6]
    ]
    if not lines:
        return html.P("Nothing was recommended to anybody.", className="small teach")
    return item_list(page, lines)
