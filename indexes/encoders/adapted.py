"""adapted.py: a home and its settings -> those with the encoder adapted to the shop."""

from pathlib import Path
from typing import Final

import msgspec

from indexes.encoders.settings import EncoderSettings
from indexes.storage.versions import Version, VersionStore
from indexes.workspace import Workspace

QUERIES: Final = "queries"  # the side of a version that reads queries alone
BOTH: Final = "both"
_MEND: Final = "Run `reranker adapt --publish` again, or set encoder.adapted to false."


def encoder_store(home: Path) -> VersionStore:
    """The text encoders that were adapted to this shop and published."""
    return VersionStore(home / "encoder", _MEND)


def encoder_settings(workspace: Workspace) -> EncoderSettings:
    """What a rebuild encodes items with: the published adapted encoder where it was made of the
    model that the settings name and reads items too, else that model.

    Damaged where its files are not as they were written.
    """
    alone = used_side(workspace) == QUERIES
    return workspace.section(EncoderSettings) if alone else query_settings(workspace)


def query_settings(workspace: Workspace) -> EncoderSettings:
    """What reads queries: the published adapted encoder, else the model of the settings."""
    settings = workspace.section(EncoderSettings)
    version = _used(workspace)
    if version is None:
        return settings
    encoder_store(workspace.home).ensure_verified(version)
    return msgspec.structs.replace(settings, model=str(version.folder.resolve()))


def used_side(workspace: Workspace) -> str | None:
    """What the published adapted encoder reads: "queries" alone or "both"; None where none is."""
    version = _used(workspace)
    return str(version.about.get("side", BOTH)) if version else None


def _used(workspace: Workspace) -> Version | None:
    settings = workspace.section(EncoderSettings)
    version = encoder_store(workspace.home).current() if settings.adapted else None
    return version if version and version.about.get("base") == settings.model else None
