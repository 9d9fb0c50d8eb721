"""blend_rows.py: the stored blends -> choices and sentences for the page, and their changes."""

from pathlib import Path
from typing import Any

import msgspec

from reranker.blends.blend import Blend
from reranker.blends.files import parse
from reranker.blends.store import BlendStore, StoredBlend
from reranker.ranking.state import ServedState
from service.live.reload import blend_label


class Blends:
    """The blends of one home."""

    def __init__(self, root: Path) -> None:
        self._store = BlendStore(root)

    def rows(self) -> list[StoredBlend]:
        """Every version, newest first."""
        return self._store.listed()

    def blend(self, label: str) -> Blend:
        """The blend called `name@version`, with the version that an edit of it is made from."""
        return self._store.get(label)[0]

    def diff(self, before: str, after: str) -> list[str]:
        """What differs, a line each."""
        return self._store.diff(before, after)

    def publish(self, label: str, who: str, expect: str) -> str:
        """Publish a version, unless another than the expected one is published by now."""
        self._store.publish(label, who=who, expect=expect)
        return f"{label} is published; workers take it up within a second."

    def previous(self) -> StoredBlend | None:
        """What a rollback would publish, if anything."""
        return self._store.previous()

    def rollback(self, who: str, expect: str | None = None) -> str:
        """Publish what was published before, as `publish` does."""
        label = self._store.rollback(who=who, expect=expect).label
        return f"{label} is published again; workers take it up within a second."

    def save(self, content: bytes, source: str, who: str = "") -> str:
        """Store an imported blend as the next version of its name."""
        blend, number = self._store.save(parse(content, source), who=who)
        return f"Stored as {blend.name}@{number}, not published."

    def log(self) -> list[dict[str, Any]]:
        """Who did what, newest first."""
        return [msgspec.to_builtins(entry) for entry in reversed(self._store.log())]


def blend_choices(state: ServedState) -> list[dict[str, Any]]:
    """The published blend first, then every other by the name that `/rerank` takes."""
    others = [blend.label for blend in state.store.listed() if not blend.published]
    first = {"value": "", "label": f"{blend_label(state)} · published"}
    return [first, *({"value": name, "label": name} for name in others)]
