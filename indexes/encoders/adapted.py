"""adapted.py: a home and its settings -> those with the encoder adapted to the shop."""

from pathlib import Path
from typing import Final

import msgspec

from indexes.encoders.settings import EncoderSettings
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace

_MEND: Final = "Run `reranker adapt --publish` again, or set encoder.adapted to false."


def encoder_store(home: Path) -> VersionStore:
    """The text encoders that were adapted to this shop and published."""
    return VersionStore(home / "encoder", _MEND)


def encoder_settings(workspace: Workspace) -> EncoderSettings:
    """What a rebuild encodes with: the published adapted encoder where it was made of the model
    that the settings name, else that model. Damaged where its files are not as they were written.
    """
    settings = workspace.section(EncoderSettings)
    if not settings.adapted:
        return settings
    store = encoder_store(workspace.home)
    version = store.current()
    if version is None or version.about.get("base") != settings.model:
        return settings
    store.ensure_verified(version)
    return msgspec.structs.replace(settings, model=str(version.folder.resolve()))
