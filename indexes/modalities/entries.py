"""entries.py: what a version's manifest says of each modality.

about["modalities"] = {"image": {"made_of": {...}, "dimensions": 512, "items": 9000, ...}}
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.errors import Failure

MODALITIES: Final = "modalities"  # the key in the manifest, and the folder in the version
TOWER: Final = "encoder"  # folder among a modality's files: what reads queries into its space
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One modality of one version. made_of: what the vectors came from; equal means the same
    vectors. items: how many of the version's have one. weight: of its nearness among others'."""

    made_of: dict[str, Any]
    dimensions: int
    items: int
    weight: float = 1.0


def entries_of(about: Mapping[str, Any]) -> dict[str, Entry]:
    """The modalities by name; none in a version of an earlier release."""
    return msgspec.convert(about.get(MODALITIES) or {}, dict[str, Entry])


def modality_folder(version: Path, name: str) -> Path:
    """Where a version keeps the files of one modality."""
    return version / MODALITIES / name


def checked_name(name: str, field: str) -> str:
    """The same name; Failure where a modality cannot have it."""
    if _NAME.fullmatch(name):
        return name
    raise Failure(
        f"{field}: {name!r} cannot name a modality; allowed are 1 to 32 of a-z, 0-9 and _, a "
        "letter first.",
        field=field,
        hint="Name it after what the vectors are of, such as image or audio.",
    )
