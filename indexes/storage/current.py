"""current.py: the `current` symlink -> which version is served, and which ones ever were."""

import errno
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from indexes.storage import durable
from indexes.storage.durable import crash_point

VERSIONS: Final = "versions"
_ID: Final = re.compile(r"(?<!\d)(\d{4,})-\d{8}T\d{6}Z", re.ASCII)


def is_version_id(name: str) -> bool:
    """Whether a name has the form 0007-20261123T200102Z."""
    return _ID.fullmatch(name) is not None


def number_of(version_id: str) -> int:
    """The counter in an id: versions are older and newer by it, not by the clock."""
    return int(version_id.partition("-")[0])


class BadLink(ValueError):
    """The link is there and leads to no version; the message goes on after the link's name."""


class ServedLink:
    """The link, swapped in one step, and served.jsonl beside it: what was served when."""

    def __init__(self, root: Path) -> None:
        self.path = root / "current"
        self._versions = root / VERSIONS
        self._log = root / "served.jsonl"

    def read(self) -> str | None:
        """The id of the served version; None before the first; BadLink says what is wrong."""
        try:
            target = Path(os.readlink(self.path))
        except FileNotFoundError:
            return None
        except OSError as error:
            plain = error.errno == errno.EINVAL
            problem = "is no symlink" if plain else f"cannot be read: {error.strerror}"
            raise BadLink(problem) from None
        if target.parent.name != VERSIONS or not is_version_id(target.name):
            raise BadLink(f"points to {target}, which is no version")
        if not (self._versions / target.name).is_dir():
            raise BadLink(f"points to {target}, which is not there")
        return target.name

    def named(self) -> str | None:
        """The id in the link, whether or not that version is there."""
        try:
            name = Path(os.readlink(self.path)).name
        except OSError:
            return None
        return name if is_version_id(name) else None

    def swap(self, version_id: str, how: str, aside: Path) -> None:
        """Serve this version from now on. aside: a free name on the same disk."""
        before = self.named()
        if before and before not in self.ever_served():  # a crash came between swap and note
            self._note(before, "found")
        durable.swap_link(self.path, f"{VERSIONS}/{version_id}", aside)
        self._note(version_id, how)
        crash_point("served_noted")

    def remove(self) -> None:
        """Serve none from now on."""
        before = self.named()
        self.path.unlink(missing_ok=True)
        durable.sync(self.path.parent)
        if before:
            self._note(before, "withdrawn")

    def ever_served(self) -> set[str]:
        """Every id in the log; a line that a crash cut off hides no other."""
        try:
            return {match[0] for match in _ID.finditer(self._log.read_text(errors="replace"))}
        except OSError:
            return set()

    def _note(self, version_id: str, how: str) -> None:
        at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        line = msgspec.json.encode({"version": version_id, "at": at, "how": how})
        with suppress(OSError):  # a full disk must not undo what is served; see "found"
            durable.append_synced(self._log, line + b"\n")
