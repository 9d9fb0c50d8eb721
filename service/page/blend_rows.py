"""blend_rows.py: the stored blends -> rows and choices for the page, and what is done to them.

The one place where the page meets BlendStore. Stores that lack a method (publish, diff, log) are
served from what they have.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from indexes.errors import Failure
from indexes.versions import VersionStore, exclusive
from reranker.blend_store import BLEND_FILE, BlendStore
from reranker.blends import Blend, parse
from reranker.state import ServedState
from service.reload import blend_label


class BlendRow(msgspec.Struct, frozen=True):
    """One version of one blend, as the table shows it."""

    id: str
    name: str
    version: int
    kind: str
    author: str
    note: str
    created: str
    published: bool
    recommended: bool | None = None

    @property
    def label(self) -> str:
        """As `/rerank` and the commands name it."""
        return f"{self.name}@{self.version}"


class Blends:
    """The blends of one home."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._store: Any = BlendStore(root)
        self._versions = VersionStore(root)

    def rows(self) -> list[BlendRow]:
        """Every version, newest first."""
        if hasattr(self._store, "listed"):
            return [
                BlendRow(**{name: getattr(one, name) for name in BlendRow.__struct_fields__})
                for one in self._store.listed()
            ]
        return list(self._read_rows())

    def blend(self, label: str) -> Blend:
        """The blend called `name@version`."""
        row = self._row(label)
        path = self._versions.get(row.id).folder / BLEND_FILE
        return parse(path.read_bytes(), str(path))

    def diff(self, before: str, after: str) -> list[str]:
        """What differs, a line each."""
        if hasattr(self._store, "diff"):
            found: list[str] = self._store.diff(before, after)
            return found
        old, new = self.blend(before), self.blend(after)
        return list(_differences("", msgspec.to_builtins(old), msgspec.to_builtins(new)))

    def publish(self, label: str, who: str, expect: str) -> str:
        """Publish a version, unless another than the expected one is published by now."""
        row = self._row(label)
        if hasattr(self._store, "publish"):
            self._store.publish(label, who=who, expect=expect)
        else:
            with exclusive(self._root / "lock", f"publishing {label}"):
                current = self._versions.current()
                if current is not None and current.id != expect:
                    raise Failure("Another blend was published meanwhile.", field="expect")
                self._versions.switch_to(row.id)
        return f"{label} is published; workers take it up within a second."

    def rollback(self, who: str) -> str:
        """Publish what was published before."""
        if hasattr(self._store, "rollback"):
            return f"{self._store.rollback(who=who).label} is published again."
        with exclusive(self._root / "lock", "rolling back"):
            version = self._versions.rollback()
        return f"{version.about.get('name')}@{version.about.get('version')} is published again."

    def save(self, content: bytes, source: str) -> str:
        """Store an imported blend as the next version of its name."""
        blend, number = self._store.save(parse(content, source))
        return f"Stored as {blend.name}@{number}, not published."

    def log(self) -> list[dict[str, Any]]:
        """Who did what, newest first; empty where the store keeps no log."""
        if not hasattr(self._store, "log"):
            return []
        return [msgspec.to_builtins(entry) for entry in reversed(self._store.log())]

    def _row(self, label: str) -> BlendRow:
        found = next((row for row in self.rows() if row.label == label), None)
        if found is None:
            raise Failure(f"There is no blend {label!r} any more.", field="blend")
        return found

    def _read_rows(self) -> Iterator[BlendRow]:
        current = self._versions.current()
        for version in reversed(self._versions.versions()):
            if version.manifest is None:
                continue
            path = version.folder / BLEND_FILE
            blend = parse(path.read_bytes(), str(path))
            yield BlendRow(
                version.id,
                blend.name,
                int(version.about["version"]),
                blend.kind,
                blend.author,
                blend.note,
                version.manifest.created,
                current is not None and current.id == version.id,
            )


def blend_choices(state: ServedState) -> list[dict[str, Any]]:
    """The published blend first, then every other by the name that `/rerank` takes."""
    store: Any = state.store
    first = {"value": "", "label": f"{blend_label(state)} · published"}
    if hasattr(store, "listed"):
        others = [one.label for one in store.listed() if not one.published]
    else:  # without name@version only the newest of each other name can be asked for
        others = sorted(store.names() - {state.published.name})
    return [first, *({"value": name, "label": name} for name in others)]


def _differences(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    elif old != new and path != "name":
        yield f"{path}: {'(none)' if old is None else old} -> {'(none)' if new is None else new}"
