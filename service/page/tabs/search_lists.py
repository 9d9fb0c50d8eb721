"""search_lists.py: the Search tab's two lists with their NDCG, the list to judge, and why."""

from typing import Any, Final

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import dcc, html

from service.page.parts.widgets import FOCUS, LIST, aria

_ITEM: Final[dict[str, Any]] = {
    "field": "title",
    "headerName": "item",
    "flex": 1,
    "cellRenderer": "ItemCell",
}
_PLACE: Final[dict[str, Any]] = {
    "field": "cell",
    "headerName": "#",
    "width": 38,
    "cellRenderer": "PlaceCell",
}
_ENGINE: Final = [
    _PLACE | {"colId": "was"},
    _ITEM,
    {"field": "now", "headerName": "now", "width": 48, "cellRenderer": "NowCell"},
]
_BLEND: Final = [
    _PLACE | {"colId": "now"},
    {"field": "move", "headerName": "move", "width": 50, "cellRenderer": "MoveCell"},
    _ITEM | {"flex": 5},
    {"field": "bar", "headerName": "score", "flex": 3, "minWidth": 96, "cellRenderer": "BarCell"},
]
_JUDGE: Final = [
    _ITEM,
    {"field": "cell", "headerName": "grade", "width": 150, "cellRenderer": "GradeCell"},
]


def lists() -> Any:
    """Engine's order and blend's, or one list in random order while it is judged."""
    return html.Div(
        [
            html.Section(
                [_head("Engine's order", "engine-ndcg"), _list("engine-list", _ENGINE)],
                className="card list ranked",
            ),
            html.Section(
                [
                    _head(
                        "Blend's order",
                        "blend-ndcg",
                        html.B(id="ndcg-difference", className="difference"),
                        html.Span(id="judged-count", className="quiet judged-count"),
                        dmc.Button(
                            "Judge this list", id="judge", size="compact-xs", variant="subtle"
                        ),
                    ),
                    _list("blend-list", _BLEND),
                ],
                className="card list wide ranked",
            ),
            _judging(),
            html.Div(id="notice", className="notice", role="status"),
        ],
        className="lists empty-handed",
    )


def _head(title: str, ndcg: str, *more: Any) -> Any:
    """ndcg: id of the figure, which is written in the browser and shown where there are grades."""
    figure = [html.Span("NDCG@10 ", className="quiet"), html.B(id=ndcg, className="num")]
    return html.Div(
        [html.H2(title), html.Span(figure, className="ndcg"), *more], className="head list-head"
    )


def _judging() -> Any:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("How well does each item answer the query?"),
                    html.Span(id="judge-progress", className="quiet"),
                    dmc.Button("Done", id="judge-end", size="compact-xs"),
                ],
                className="head list-head",
            ),
            html.P(
                [
                    "In random order, so that no rank sways you. Keys: ",
                    *(
                        part
                        for key, words in zip("0123", _MEANING, strict=True)
                        for part in (dmc.Kbd(key), f" {words}  ")
                    ),
                    dmc.Kbd("Del"),
                    " takes a grade back.",
                ],
                className="quiet small judge-help",
            ),
            _list("judge-list", _JUDGE),
            html.Div(
                [
                    dmc.Button(
                        "Export as Quepid CSV",
                        id="judge-export",
                        size="compact-sm",
                        variant="default",
                    ),
                    html.Span(id="grade-said", className="said", role="status"),
                ],
                className="row judge-foot",
            ),
            dcc.Download(id="judge-file"),
            dcc.Store(id="graded"),
        ],
        className="card list judge-card",
    )


_MEANING: Final = ("not at all", "a little", "well", "exactly")


def _list(name: str, columns: list[dict[str, Any]]) -> Any:
    return dag.AgGrid(
        id=name,
        columnDefs=[column | {"sortable": False, "resizable": False} for column in columns],
        rowData=[],
        getRowId="params.data.id",
        className="grid",
        dashGridOptions=LIST | {"rowHeight": 66},
        eventListeners=FOCUS,
    )


def why() -> Any:
    """The chosen item's arithmetic beside another's; what each past event was worth."""
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Why", id="why-head"),
                    html.Span("is", className="quiet"),
                    html.Strong("…", id="why-a"),
                    html.Span("where it is, against", id="why-relation", className="quiet"),
                    dmc.Select(
                        id="why-b",
                        data=[],
                        searchable=True,
                        limit=80,
                        size="xs",
                        className="grow",
                        placeholder="choose an item to compare with",
                        **aria(label="item to compare with"),
                    ),
                    dmc.Group(
                        [
                            dmc.Button(
                                f"+ {kind}",
                                id=f"add-{kind}",
                                size="compact-xs",
                                variant="default",
                            )
                            for kind in ("view", "cart", "purchase")
                        ],
                        gap=4,
                    ),
                ],
                className="head why-head",
            ),
            html.Div(id="why", className="why"),
            html.Div(
                [
                    dmc.Button(
                        "Which past event moved it most?",
                        id="leave-out",
                        size="compact-sm",
                        variant="light",
                    ),
                    html.Div(id="left-out"),
                    dcc.Store(id="left-out-asked"),
                ],
                className="left-out",
            ),
        ],
        className="card why-card",
    )
