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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from indexes.errors import Failure
from indexes.storage import durable
from indexes.storage.current import VERSIONS, BadLink, ServedLink, is_version_id, number_of
from indexes.storage.locks import LockHeld, exclusive
from indexes.storage.manifests import (
    MANIFEST,
    Manifest,
    Unfit,
    VerifiedNotes,
    differences,
    read_manifest,
    settled,
)
from indexes.storage.publishing import WorkFolder, finish_files, move_in, move_in_sealed

_HINTS: Final[dict[int | None, str]] = {
    errno.ENOSPC: "Make room on that disk and run the same command again.",
    errno.EDQUOT: "Make room in the quota and run the same command again.",
    errno.EROFS: "The disk is read-only: name a home that can be written.",
    errno.EACCES: "Mend the permissions, or run as the owner of that folder.",
    errno.EPERM: "Mend the permissions, or run as the owner of that folder.",
}

__all__ = ["CRASH_POINTS", "Damaged", "LockHeld", "Version", "VersionStore", "exclusive"]

# Where RERANKER_CRASH_AT=<name> ends the process, in the order in which publish and prune pass.
CRASH_POINTS: Final = (
    "files_synced",
    "manifest_written",
    "folders_synced",
    "folder_moved",
    "version_synced",
    "link_made",
    "link_swapped",
    "served_noted",
    "prune_renamed",
    "prune_removed",
)
_UNCHANGED: Final = "What was served before still is."


@contextmanager
def failing(consequence: str, folder: Path) -> Iterator[None]:
    """Turn an OSError in the block into a Failure. consequence: what stands now, in a sentence."""
    try:
        yield
    except Unfit as error:
        raise Failure(f"{error}. {consequence}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        where = error.filename or folder
        raise Failure(f"{reason}: {where}. {consequence}", hint=_HINTS.get(error.errno)) from error


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
        self._versions = root / VERSIONS
        self._link = ServedLink(root)
        self._work = WorkFolder(root / "work")
        self._notes = VerifiedNotes(root / "verified")

    # Reading

    def current(self) -> Version | None:
        """The served version; None before the first one. Damaged for a link that is no use."""
        try:
            name = self._link.read()
        except BadLink as problem:
            link = self._link.path
            hint = f"{self._mend} Delete {link} first, if it is no symlink or no version is left."
            raise Damaged(f"{link} {problem}.", hint=hint) from None
        return _version(self._versions / name) if name else None

    def versions(self) -> list[Version]:
        """Every version, oldest first, damaged ones too."""
        return [_version(self._versions / name) for name in self._ids()]

    def get(self, version_id: str) -> Version:
        """One version by its id."""
        known = self._ids()
        if version_id not in known:
            known_ids = f"there are {', '.join(known[-10:])}" if known else "there is none yet"
            raise Failure(f"Version {version_id!r} is not in {self._versions}; {known_ids}.")
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
        before, complete = settled(version.folder)
        problems = self.verify(version)
        if problems:
            raise Damaged(
                f"Version {version.id} in {version.folder} is damaged: {'; '.join(problems)}.",
                hint=self._mend,
            )
        if complete and version.manifest:
            self._notes.add(version.manifest, before)

    # Making

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """A fresh folder to write a version in; gone afterwards, unless it was published."""
        with failing(f"Nothing can be staged. {_UNCHANGED}", self.root):
            durable.make_folder(self._versions)
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
        with failing(f"Nothing was published. {_UNCHANGED}", self.root):
            stats, files = finish_files(staged)
            with self._work.alone():
                now = datetime.now(UTC)
                folder = self._versions / f"{self._next_number():04}-{now:%Y%m%dT%H%M%SZ}"
                try:
                    move_in(staged, folder, files, about, now)
                    if switch:
                        self._switch(folder.name, "published")
                except BaseException:
                    self._take_back(folder)
                    raise
        version = _version(folder)
        if version.manifest:
            self._notes.add(version.manifest, stats)
        return version

    # Taking over what was made elsewhere

    def holds(self, raw: bytes, manifest: Manifest) -> bool:
        """Whether a version with exactly this manifest is here; Failure where another has its id.

        raw: the manifest's bytes.
        """
        folder = self._versions / manifest.id
        if not folder.is_dir():
            return False
        if (folder / MANIFEST).exists() and (folder / MANIFEST).read_bytes() == raw:
            return True
        raise Failure(
            f"{folder} is another version than the one of that id in the store.",
            hint="A home that takes what others publish needs a folder of its own: name an empty "
            "one with --home.",
        )

    def files_by_sum(self) -> dict[str, Path]:
        """A file with each content that the versions here have, by SHA-256."""
        return {
            found.sha256: version.folder / name
            for version in self.versions()
            if version.manifest
            for name, found in version.manifest.files.items()
        }

    def adopt(self, staged: Path, raw: bytes, manifest: Manifest) -> Version:
        """Make a staged folder a version that was sealed elsewhere, and do not serve it yet.

        ValueError names the first file that is not what the manifest says.
        """
        with failing(f"Nothing was taken over. {_UNCHANGED}", self.root):
            stats, files = finish_files(staged)
            for name in sorted({*files, *manifest.files}):
                if files.get(name) != manifest.files.get(name):
                    raise ValueError(name)
            folder = self._versions / manifest.id
            with self._work.alone():
                try:
                    move_in_sealed(staged, folder, raw)
                except BaseException:
                    self._take_back(folder)
                    raise
        version = _version(folder)
        if version.manifest:
            self._notes.add(version.manifest, stats)
        return version

    def _take_back(self, folder: Path) -> None:
        """Remove a version that was moved in and did not come to be served."""
        if self._link.named() != folder.name and folder.exists():
            with suppress(OSError):
                self._work.take_out(folder)

    # Serving

    def switch_to(self, version_id: str) -> Version:
        """Serve this version, without looking at its files."""
        with failing(_UNCHANGED, self.root), self._work.alone():
            version = self.get(version_id)
            self._switch(version.id, "switched")
        return version

    def rollback(self, to: str | None = None) -> Version:
        """Serve the version that was served before the current one, or `to`, if it is sound."""
        version = self.get(to or self.before(self._link.named()))
        problems = self.verify(version)
        if problems:
            raise Damaged(
                f"Version {version.id} is damaged: {'; '.join(problems)}. "
                "What is served did not change.",
                hint="Name an older one with --to.",
            )
        return self.switch_to(version.id)

    def withdraw(self) -> None:
        """Serve none of the versions from now on; they all stay."""
        with failing(_UNCHANGED, self.root), self._work.alone():
            self._link.remove()

    def prune(self, keep: int) -> list[str]:
        """Delete all but the newest `keep` versions, never the served one; the ids that went."""
        if keep < 1:
            raise ValueError(f"keep is {keep}; at least 1, so that no number is given twice")
        with failing("Old versions could not be deleted.", self.root), self._work.alone():
            served = self.current()
            needed = {served.id} if served else set()
            doomed = [name for name in self._ids()[:-keep] if name not in needed]
            for name in doomed:
                self._work.take_out(self._versions / name)
                self._notes.drop(name)
        return doomed

    def _switch(self, version_id: str, how: str) -> None:
        self._link.swap(version_id, how, self._work.free_link_name())

    def before(self, current: str | None) -> str:
        """The newest version below the current one that has ever been served."""
        was_served = self.served_before(current)
        if not was_served:
            ids = self._ids()
            raise Failure(
                f"No version was served before {current}." if current else "No version is there.",
                hint=f"There are {', '.join(ids)}; name one with --to." if ids else None,
            )
        return was_served[-1]

    def served_before(self, current: str | None) -> list[str]:
        """The versions below the current one that have ever been served, oldest first."""
        ids, served = self._ids(), self._link.ever_served()
        older = [name for name in ids if current is None or number_of(name) < number_of(current)]
        return [name for name in older if name in served or not served]

    # Names

    def _ids(self) -> list[str]:
        """All versions, oldest first."""
        try:
            names = os.listdir(self._versions)
        except FileNotFoundError:
            return []
        ids = [name for name in names if is_version_id(name) and (self._versions / name).is_dir()]
        return sorted(ids, key=lambda name: (number_of(name), name))

    def _next_number(self) -> int:
        return 1 + max(map(number_of, {*self._ids(), *self._link.ever_served()}), default=0)


def _default_mend(name: str) -> str:
    again = ", or build it again with `reranker rebuild`" if name == "index" else ""
    return f"Run `reranker {name} rollback` to serve the version before{again}."


def _version(folder: Path) -> Version:
    """What is in a version's folder now."""
    try:
        return Version(folder.name, folder, read_manifest(folder))
    except ValueError as error:
        return Version(folder.name, folder, None, str(error))
