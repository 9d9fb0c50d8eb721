"""blend_store.py: blends <-> numbered, immutable versions in <home>/blends; one is published."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from indexes.errors import Failure
from indexes.versions import Version, VersionStore, exclusive
from reranker.blend_files import parse
from reranker.blends import DEFAULT, PERSONAL, Blend, checked
from reranker.signals import SIGNALS

BLEND_FILE: Final = "blend.json"


class BlendStore:
    """Every version of every blend; a name's versions count from 1."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._versions = VersionStore(root)

    def published_or_default(self) -> tuple[Blend, int]:
        """The published blend; the built-in default is published first where there is none."""
        current = self._versions.current()
        if current is not None:
            return self._read(current)
        try:
            with self._alone("publishing the built-in blend"):
                current = self._versions.current()  # another may just have published one
                return self._read(current) if current else self._store(DEFAULT, publish=True)
        except (OSError, Failure):  # a read-only home, or another worker is doing the same
            return DEFAULT, 1

    def save(self, blend: Blend, *, publish: bool = False) -> tuple[Blend, int]:
        """Store a blend as the next version of its name."""
        checked(blend)
        with self._alone(f"storing blend {blend.name}"):
            return self._store(blend, publish)

    def names(self) -> set[str]:
        """Names of all stored blends."""
        versions = self._versions.versions()
        return {str(version.about["name"]) for version in versions if version.about}

    def newest(self, name: str) -> tuple[Blend, int] | None:
        """The newest version of this name, published or not."""
        found = self._of(name)
        return self._read(max(found, key=lambda pair: pair[1])[0]) if found else None

    def _alone(self, purpose: str) -> AbstractContextManager[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        return exclusive(self._root / "lock", purpose)

    def _store(self, blend: Blend, publish: bool) -> tuple[Blend, int]:
        number = 1 + max((number for _, number in self._of(blend.name)), default=0)
        with self._versions.stage() as staged:
            text = msgspec.json.format(msgspec.json.encode(blend), indent=2)
            (staged / BLEND_FILE).write_bytes(text)
            about = {"name": blend.name, "version": number}
            self._versions.publish(staged, about, switch=publish)
        return blend, number

    def _of(self, name: str) -> list[tuple[Version, int]]:
        return [
            (version, int(version.about["version"]))
            for version in self._versions.versions()
            if version.about.get("name") == name
        ]

    def _read(self, version: Version) -> tuple[Blend, int]:
        self._versions.ensure_verified(version)
        path = version.folder / BLEND_FILE
        return parse(path.read_bytes(), str(path)), int(version.about["version"])


def publish_personal(store: BlendStore) -> str:
    """Publish the `default` that uses a model, unless somebody chose another blend; what was done.

    A `default` that weighs personal signals already, tuned or not, is left as it is.
    """
    current, number = store.published_or_default()
    if current.name != DEFAULT.name:
        return f"{current.name} v{number} stays published; it is somebody's choice"
    if any(SIGNALS[name].personal for name in current.signals):
        return f"{current.name} v{number} stays published"
    blend, number = store.save(PERSONAL, publish=True)
    return f"{blend.name} v{number} published, with personal signals"
