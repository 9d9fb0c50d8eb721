"""versions.py: a folder of finished files -> a read-only version, served by one atomic switch.

    root/versions/<id>/   read-only files and the manifest that holds their hashes
    root/current          a symlink to the served version
    root/work/            what is being made or deleted
    root/verified/        notes of versions whose hashes all fitted
    root/served.jsonl     what was served when

Every step is on the disk before the next one relies on it: after a crash at any moment exactly
the old or exactly the new version is served.
"""

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes import durable
from indexes.durable import crash_point
from indexes.errors import Failure
from indexes.locks import LockHeld, exclusive
from indexes.manifests import (
    MANIFEST,
    FileSum,
    Manifest,
    Stats,
    Unfit,
    differences,
    file_sum,
    read_manifest,
    sealed,
    settle,
    stats_of,
)
from indexes.staging import WorkFolder
from indexes.verified import VerifiedNotes

__all__ = ["CRASH_POINTS", "Damaged", "LockHeld", "Manifest", "Version", "VersionStore"]
__all__ += ["exclusive"]

# Where RERANKER_CRASH_AT=<name> ends the process, in the order in which publish and prune pass.
CRASH_POINTS: Final = (
    "files_synced",
    "manifest_written",
    "folders_synced",
    "folder_moved",
    "version_synced",
    "served_noted",
    "link_made",
    "link_swapped",
    "link_synced",
    "prune_renamed",
    "prune_removed",
)
_ID: Final = re.compile(r"(\d{4,})-\d{8}T\d{6}Z", re.ASCII)


class Damaged(Failure):
    """A version's files are not what its manifest says; they were not opened."""

    code = "version_damaged"


@dataclass(frozen=True)
class Version:
    """One published version. manifest: None when it cannot be read; `problem` then says why."""

    id: str
    folder: Path
    manifest: Manifest | None
    problem: str = ""

    @property
    def about(self) -> dict[str, Any]:
        """What its maker wrote about it; empty when the manifest cannot be read."""
        return dict(self.manifest.about) if self.manifest else {}


class VersionStore:
    """All versions of one thing in one folder: an index, a model, the blends.

    mend: what to do about a damaged version; by default the command named like the folder.
    """

    def __init__(self, root: Path, mend: str | None = None) -> None:
        self.root = root
        self._mend = mend or _default_mend(root.name)
        self._versions, self._link = root / "versions", root / "current"
        self._served = root / "served.jsonl"
        self._work = WorkFolder(root / "work")
        self._notes = VerifiedNotes(root / "verified")

    # Reading

    def current(self) -> Version | None:
        """The served version; None before the first one. Damaged for a link that is no use."""
        try:
            target = Path(os.readlink(self._link))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._bad_link(f"is no symlink ({error.strerror})") from None
        folder = self._versions / target.name
        if target.parent.name != self._versions.name or not _ID.fullmatch(target.name):
            raise self._bad_link(f"points to {target}, which is no version")
        if not folder.is_dir():
            raise self._bad_link(f"points to {target}, which is not there")
        return _version(folder)

    def versions(self) -> list[Version]:
        """Every version, oldest first, damaged ones too."""
        return [_version(self._versions / name) for name in self._ids()]

    def get(self, version_id: str) -> Version:
        """One version by its id."""
        known = self._ids()
        if version_id not in known:
            there = f"there are {', '.join(known[-10:])}" if known else "there is none yet"
            raise Failure(f"Version {version_id!r} is not in {self._versions}; {there}.")
        return _version(self._versions / version_id)

    # Checking

    def verify(self, version: Version) -> list[str]:
        """Hash everything again: the problems, each naming its file; none when all is sound."""
        now = _version(version.folder)
        return differences(now.folder, now.manifest.files) if now.manifest else [now.problem]

    def ensure_verified(self, version: Version) -> None:
        """Raise Damaged unless every file is sound; files unchanged since are not hashed again."""
        now = _version(version.folder)
        if now.manifest is None or not self._notes.vouch_for(now.manifest, now.folder):
            self._hash_and_note(now)

    def _hash_and_note(self, version: Version) -> None:
        before, settled = _settled(version.folder)
        problems = self.verify(version)
        if problems:
            raise Damaged(
                f"Version {version.id} in {version.folder} is damaged: {'; '.join(problems)}.",
                hint=self._mend,
            )
        if settled and version.manifest:
            self._notes.add(version.manifest, before)

    # Making

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """A fresh folder to write a version in; gone afterwards, unless it was published."""
        with self._failing("Nothing can be staged"):
            self._versions.mkdir(parents=True, exist_ok=True)
            staged, fd = self._work.fresh()
        maker = os.getpid()
        try:
            yield staged
        finally:
            if os.getpid() == maker:  # a forked child that ends in here must not tidy up
                self._work.clear(staged, fd)

    def publish(self, staged: Path, about: Mapping[str, Any], *, switch: bool = True) -> Version:
        """Make a staged folder the newest version, and the served one unless switch is False.

        On a failure nothing is published, and what was served before still is.
        """
        with self._failing("Nothing was published"):
            stats, files = _finish_files(staged)
            with self._work.alone():
                folder = self._move_in(staged, files, about)
                try:
                    if switch:
                        self._switch(folder.name, "published")
                except BaseException:
                    if self._linked() != folder.name:
                        self._work.take_out(folder)
                    raise
        version = _version(folder)
        if version.manifest:
            self._notes.add(version.manifest, stats)
        return version

    def _move_in(self, staged: Path, files: dict[str, FileSum], about: Mapping[str, Any]) -> Path:
        """The manifest last, then everything on the disk, then one rename."""
        now = datetime.now(UTC)
        moved = self._versions / f"{self._next_number():04}-{now:%Y%m%dT%H%M%SZ}"
        manifest = Manifest(moved.name, f"{now:%Y-%m-%dT%H:%M:%SZ}", files, dict(about))
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
        for folder in (moved, self._versions, self._work.path):
            durable.sync(folder)
        crash_point("version_synced")
        return moved

    # Serving

    def switch_to(self, version_id: str) -> Version:
        """Serve this version, without looking at its files."""
        with self._failing("What is served did not change"), self._work.alone():
            version = self.get(version_id)
            self._switch(version.id, "switched")
        return version

    def rollback(self, to: str | None = None) -> Version:
        """Serve the version that was served before the current one, or `to`, if it is sound."""
        version = self.get(to or self._before(self._linked()))
        problems = self.verify(version)
        if problems:
            raise Damaged(
                f"Version {version.id} is damaged: {'; '.join(problems)}. "
                "What is served did not change.",
                hint="Name an older one with --to.",
            )
        return self.switch_to(version.id)

    def prune(self, keep: int) -> list[str]:
        """Delete all but the newest `keep` versions, never the served one; the ids that went."""
        if keep < 1:
            raise ValueError(f"keep is {keep}; at least 1, so that no number is given twice")
        with self._failing("Old versions stay"), self._work.alone():
            served = self.current()
            kept = {served.id} if served else set()
            doomed = [name for name in self._ids()[:-keep] if name not in kept]
            for name in doomed:
                self._work.take_out(self._versions / name)
                self._notes.drop(name)
        return doomed

    def _switch(self, version_id: str, how: str) -> None:
        line = {"version": version_id, "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "how": how}
        durable.append_synced(self._served, msgspec.json.encode(line) + b"\n")
        crash_point("served_noted")
        target = f"{self._versions.name}/{version_id}"
        durable.swap_link(self._link, target, self._work.free_link_name())
        crash_point("link_synced")

    def _before(self, current: str | None) -> str:
        """The newest version below the current one that has ever been served."""
        ids, served = self._ids(), self._ever_served()
        older = [name for name in ids if current is None or _number(name) < _number(current)]
        was_served = [name for name in older if name in served or not served]
        if not was_served:
            raise Failure(
                f"No version was served before {current}." if current else "No version is there.",
                hint=f"There are {', '.join(ids)}; name one with --to." if ids else None,
            )
        return was_served[-1]

    # Names

    def _ids(self) -> list[str]:
        """All versions, oldest first."""
        try:
            names = os.listdir(self._versions)
        except FileNotFoundError:
            return []
        found = [name for name in names if _ID.fullmatch(name) and (self._versions / name).is_dir()]
        return sorted(found, key=lambda name: (_number(name), name))

    def _next_number(self) -> int:
        return 1 + max(map(_number, {*self._ids(), *self._ever_served()}), default=0)

    def _ever_served(self) -> set[str]:
        """Ids in the log; a line that a crash cut off hides no other."""
        try:
            return {found[0] for found in _ID.finditer(self._served.read_text(errors="replace"))}
        except OSError:
            return set()

    def _linked(self) -> str | None:
        """The id in the `current` link, whether or not that version is there."""
        try:
            name = Path(os.readlink(self._link)).name
        except OSError:
            return None
        return name if _ID.fullmatch(name) else None

    def _bad_link(self, problem: str) -> Damaged:
        return Damaged(
            f"{self._link} {problem}.",
            hint=f"{self._mend} Where no version is left, delete {self._link}.",
        )

    @contextmanager
    def _failing(self, consequence: str) -> Iterator[None]:
        """An OSError as a Failure that says where, why and what it means."""
        try:
            yield
        except (OSError, Unfit) as error:
            reason = getattr(error, "strerror", None) or str(error)
            where = getattr(error, "filename", None) or self.root
            raise Failure(
                f"{consequence}: {reason} ({where}). What was served before still is.",
                hint=_HINTS.get(getattr(error, "errno", None)),
            ) from error


_HINTS: Final[dict[int | None, str]] = {
    errno.ENOSPC: "Make room on that disk and run the same command again.",
    errno.EDQUOT: "Make room in the quota and run the same command again.",
    errno.EROFS: "The disk is read-only: name a home that can be written.",
    errno.EACCES: "Mend the permissions, or run as the owner of that folder.",
    errno.EPERM: "Mend the permissions, or run as the owner of that folder.",
}


def _default_mend(name: str) -> str:
    again = ", or build it again with `reranker rebuild`" if name == "index" else ""
    return f"Run `reranker {name} rollback` to serve the version before{again}."


def _number(version_id: str) -> int:
    return int(version_id.partition("-")[0])


def _version(folder: Path) -> Version:
    """What is in a version's folder now."""
    try:
        return Version(folder.name, folder, read_manifest(folder))
    except ValueError as error:
        return Version(folder.name, folder, None, str(error))


def _settled(folder: Path) -> tuple[Stats, bool]:
    """The files as they are, and whether any later write to them must show."""
    try:
        stats = stats_of(folder)
    except (OSError, Unfit):
        return {}, False  # verify() says what is wrong
    return stats, settle(stats)


def _finish_files(staged: Path) -> tuple[Stats, dict[str, FileSum]]:
    """Close every file for writing, bring it to the disk and hash it."""
    names = stats_of(staged)
    if not names or (staged / MANIFEST).exists():
        raise Unfit(f"{staged} holds {'its own manifest' if names else 'no file'}")
    for name in names:
        (staged / name).chmod(durable.READ_ONLY_FILE)
        durable.sync(staged / name)
    crash_point("files_synced")
    stats = stats_of(staged)
    settle(stats)
    return stats, {name: file_sum(staged / name) for name in names}
