"""thumbnails.py: an item's `image` -> the address of its picture, and the file behind it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from indexes.items.records import Item
from indexes.items.settings import ItemSettings
from indexes.workspace import Workspace

ROUTE: Final = "/images/"
MOST_BYTES: Final = 5 * 1024 * 1024
TYPES: Final = {
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
_LONGEST: Final = 1000  # characters of an `image` that is looked at
_ODD: Final = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True)
class Thumbnails:
    """Pictures of one home. folder: resolved; hosts: in lower case."""

    folder: Path
    hosts: frozenset[str]

    @classmethod
    def of(cls, workspace: Workspace) -> "Thumbnails":
        """As the settings [items] say."""
        settings = workspace.section(ItemSettings)
        folder = (workspace.home / settings.image_folder).resolve()
        return cls(folder, frozenset(host.lower() for host in settings.image_hosts))

    def thumbnail_of(self, item: Item) -> str | None:
        """What the `src` of this item's <img> is; None where no picture can be shown.

        A path to a picture in the folder is an address of the service; an address of a host that
        the settings name is itself.
        """
        image = item.image
        if not image or len(image) > _LONGEST or _ODD.search(image):
            return None
        if "://" in image or image.startswith("//"):
            return self._address(image)
        path = self.file(image)
        return None if path is None else ROUTE + quote(path.relative_to(self.folder).as_posix())

    def file(self, name: str) -> Path | None:
        """The picture of this path within the folder; None for what is outside, no picture, too
        large, or not there. Links are followed before it is said what is outside."""
        if not name or len(name) > _LONGEST or _ODD.search(name):
            return None
        try:
            path = Path(os.path.realpath(self.folder / name.lstrip("/"), strict=True))
            inside = path.is_relative_to(self.folder) and path.suffix.lower() in TYPES
            return path if inside and path.is_file() and _small(path) else None
        except OSError:
            return None

    @property
    def sources(self) -> str:
        """The hosts as a Content-Security-Policy has them, for img-src."""
        return " ".join(f"https://{host}" for host in sorted(self.hosts))

    def _address(self, image: str) -> str | None:
        address = f"https:{image}" if image.startswith("//") else image
        try:
            parts = urlsplit(address)
        except ValueError:
            return None
        named = parts.scheme == "https" and parts.netloc.lower() in self.hosts
        return parts.geturl() if named else None


def _small(path: Path) -> bool:
    return path.stat().st_size <= MOST_BYTES
