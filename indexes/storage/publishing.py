"""publishing.py: a staged folder -> a version's: hashed, read-only, on the disk, moved in."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from indexes.storage import durable
from indexes.storage.durable import crash_point
from indexes.storage.manifests import (
    MANIFEST,
    FileSum,
    Manifest,
    Stats,
    Unfit,
    file_sum,
    sealed,
    settle,
    stats_of,
)


def finish_files(staged: Path) -> tuple[Stats, dict[str, FileSum]]:
    """Close every file for writing, bring it to the disk and hash it."""
    names = stats_of(staged)
    if not names or (staged / MANIFEST).exists():
        raise Unfit(f"{staged} holds {'a manifest already' if names else 'no file'}")
    for name in names:
        (staged / name).chmod(durable.READ_ONLY_FILE)
        durable.sync(staged / name)
    crash_point("files_synced")
    stats = stats_of(staged)
    settle(stats)
    return stats, {name: file_sum(staged / name) for name in names}


def move_in(
    staged: Path, moved: Path, files: dict[str, FileSum], about: Mapping[str, Any], now: datetime
) -> None:
    """The manifest last, then everything on the disk, then one rename to its final place."""
    manifest = Manifest(moved.name, f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", files, dict(about))
    durable.write_synced(staged / MANIFEST, sealed(manifest), durable.READ_ONLY_FILE)
    crash_point("manifest_written")
    for folder in durable.folders_of(staged):
        if folder != staged:  # which has to be writable to be moved
            folder.chmod(durable.READ_ONLY_FOLDER)
        durable.sync(folder)
    crash_point("folders_synced")
    staged.rename(moved)
    crash_point("folder_moved")
    moved.chmod(durable.READ_ONLY_FOLDER)
    for folder in (moved, moved.parent, staged.parent):
        durable.sync(folder)
    crash_point("version_synced")
