"""lists.py: what AG Grid is told for every list of the page."""

from typing import Any, Final

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
