"""blend_rows.py: the stored blends -> rows and choices for the page."""

from typing import Any

from reranker.state import ServedState
from service.reload import blend_label


def blend_choices(state: ServedState) -> list[dict[str, Any]]:
    """The published blend first, then the newest version of every other name."""
    names = sorted(state.store.names() - {state.published.name})
    first = {"value": "", "label": f"{blend_label(state)} · published"}
    return [first, *({"value": name, "label": name} for name in names)]
