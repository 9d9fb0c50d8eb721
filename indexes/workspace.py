"""workspace.py: a home folder and its settings -> the one object that commands share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

S = TypeVar("S", bound="Settings")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One section of settings, declared beside the code that it configures.

    Every field has a default and an `Annotated[..., msgspec.Meta(description=...)]`.
    """


@dataclass(frozen=True)
class Workspace:
    """Where everything of one shop lives, and how it was told to behave."""

    home: Path
    sections: Mapping[type[Settings], Settings] = field(default_factory=dict)
    sources: Mapping[str, Any] = field(default_factory=dict)

    def section(self, kind: type[S]) -> S:
        """The settings of this kind; the defaults where nothing was set."""
        section = self.sections.get(kind)
        return section if isinstance(section, kind) else kind()

    @property
    def index_root(self) -> Path:
        return self.home / "index"

    @property
    def blends_root(self) -> Path:
        return self.home / "blends"
