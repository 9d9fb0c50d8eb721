"""widgets.py: per-query differences -> one line from the most hurt to the most helped."""

from typing import Any, Final

import plotly.graph_objects as go

LIST: Final[dict[str, Any]] = {
    "animateRows": True,
    "rowHeight": 46,
    "headerHeight": 30,
    "suppressCellFocus": False,
    "suppressMovableColumns": True,
    "suppressHorizontalScroll": True,
    "tooltipShowDelay": 300,
    "rowSelection": {"mode": "singleRow", "checkboxes": False, "enableClickSelection": True},
    "localeText": {"noRowsToShow": "Nothing to show yet"},
    "theme": {"function": "pageTheme(themeQuartz)"},
}
FOCUS: Final = {"cellFocused": ["selectFocused(params)"]}

INK: Final = "#5d7086"
LINE: Final = "rgba(120,145,170,.25)"
# Seen on the light page and on the dark one: 3:1 and more on both.
BLUE: Final = "#2f7ab8"
LIGHT: Final = "#7d8fa2"
_POINTS: Final = 1500  # more than the chart has pixels


def delta_chart(rows: list[dict[str, Any]]) -> go.Figure:
    """Filled towards zero, dark above and light below."""
    deltas = [row["delta"] for row in rows]
    step = max(1, len(deltas) // _POINTS)
    shown = deltas[::step]
    places = [place * step + 1 for place in range(len(shown))]
    figure = go.Figure()
    for color, values in (
        (LIGHT, [min(value, 0) for value in shown]),
        (BLUE, [max(value, 0) for value in shown]),
    ):
        figure.add_scatter(
            x=places,
            y=values,
            mode="lines",
            line={"width": 0, "shape": "hv"},
            fill="tozeroy",
            fillcolor=color,
            hovertemplate="query %{x}: %{y:+.3f}<extra></extra>",
        )
    return styled(figure)


def styled(figure: go.Figure, **layout: Any) -> go.Figure:
    """The page's look: no frame, thin lines, its own font; readable on light and dark."""
    figure.update_layout(
        margin={"l": 40, "r": 8, "t": 8, "b": 28},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
        font={"family": "Inter, system-ui, sans-serif", "size": 11, "color": INK},
        hoverlabel={"font": {"family": "Inter, system-ui, sans-serif"}},
        **layout,
    )
    axis = {"gridcolor": LINE, "zerolinecolor": INK, "zerolinewidth": 1, "linecolor": LINE}
    figure.update_xaxes(**axis, showgrid=False)
    figure.update_yaxes(**axis)
    return figure


def aria(**named: str) -> Any:
    """aria(label="query") -> {"aria-label": "query"}, to be spread into a component."""
    return {f"aria-{name}": value for name, value in named.items()}
