"""keys.py: a home -> its keys, made once, for every process; and one more by rotation.

<home>/pseudonyms/keys   a line of 64 hex digits for each key, oldest first; mode 600
                  lock   held for the moment in which they are made or changed
"""

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from indexes.storage.durable import OWN_FILE, make_own_folder, replace_synced
from indexes.storage.locks import waiting
from reranker.errors import HistoryFailure
from reranker.pseudonyms.keyed_files import written_with_keys
from reranker.pseudonyms.pseudonyms import MOST_KEYS, Pseudonyms

FOLDER: Final = "pseudonyms"
KEYS_FILE: Final = "keys"
LOCK: Final = "lock"
_KEY_BYTES: Final = 32
_Stamp = tuple[int, int, int]


class KeysFailure(HistoryFailure):
    """The keys are damaged, or are not those that something was written with."""

    code = "pseudonym_keys"


class PseudonymKeys:
    """The keys of one home. Safe for several threads and processes."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, home / FOLDER
        self._read: tuple[_Stamp, Pseudonyms] | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / KEYS_FILE

    def read(self) -> Pseudonyms | None:
        """Those of all keys; None where there is none yet. KeysFailure when they are damaged."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._read is None or self._read[0] != stamp:
            self._read = stamp, Pseudonyms(*read_keys(self.path))
        return self._read[1]

    def known(self) -> Pseudonyms | None:
        """The same; KeysFailure where there is none, and something was written with one."""
        names = self.read()
        if names is None and (lost := self.lost()):
            raise lost
        return names

    def lost(self) -> KeysFailure | None:
        """What to say where there is no key any more; None where none is needed yet."""
        what = "" if self.path.exists() else written_with_keys(self.home)
        if not what:
            return None
        return KeysFailure(
            f"{self.path} is missing, and {what} was written with the keys in it: nobody can "
            "be recognised there, and nothing more is written beside it.",
            hint=f"Restore {self.path} from a backup. Without one, delete {what}: it is lost.",
        )

    def open(self) -> Pseudonyms:
        """The same; the first key is made where nothing needs an earlier one. The first process
        wins."""
        names = self.known()
        if names is None:
            self._change(lambda keys: keys or [secrets.token_bytes(_KEY_BYTES)])
            names = self.read()
        assert names is not None
        return names

    def of(self, generation: int, fingerprint: str) -> Pseudonyms:
        """Those of a generation, if they are what something was written with; else KeysFailure."""
        names = self._read[1] if self._read else None
        if names is None or names.generation < generation:
            names = self.read()
        of_generation = names.at(generation) if names and names.generation >= generation else None
        if of_generation is None or of_generation.fingerprint != fingerprint:
            raise KeysFailure(
                f"{self.path} {'is missing' if names is None else 'holds other keys'}: what is "
                "kept was written with keys that are not there.",
                hint=f"Restore {self.path} from a backup; without it nobody can be recognised.",
            )
        return of_generation

    def add(self) -> Pseudonyms:
        """One more key; everything has to be re-keyed by it, see reranker/privacy/rotation.py."""
        self._change(_with_new_key)
        names = self.read()
        assert names is not None
        return names

    def _change(self, change: Callable[[list[bytes]], list[bytes]]) -> None:
        make_own_folder(self.folder)
        with waiting(self.folder / LOCK):
            for leftover in self.folder.glob(f".{KEYS_FILE}.*"):  # by who was killed
                leftover.unlink()
            keys = read_keys(self.path) if self.path.exists() else []
            changed = change(keys)
            if changed and not (self.path.exists() and changed == keys):
                write_keys(self.path, changed)


def read_keys(path: Path) -> list[bytes]:
    """The keys of a file; KeysFailure when it is damaged."""
    try:
        keys = [bytes.fromhex(line) for line in path.read_text("ascii").split()]
    except ValueError:
        keys = []
    if not keys or any(len(key) != _KEY_BYTES for key in keys):
        raise KeysFailure(
            f"{path} is damaged: lines of {2 * _KEY_BYTES} hex digits are expected.",
            hint="Restore it from a backup; without it nobody can be recognised in what is kept.",
        )
    return keys


def write_keys(path: Path, keys: Sequence[bytes]) -> None:
    """The whole file in one step: a reader sees the old or the new."""
    replace_synced(path, "".join(f"{key.hex()}\n" for key in keys).encode(), OWN_FILE)


def _with_new_key(keys: list[bytes]) -> list[bytes]:
    if len(keys) >= MOST_KEYS:
        raise KeysFailure(f"There are {len(keys)} keys; more than {MOST_KEYS} are not possible.")
    return [*keys, secrets.token_bytes(_KEY_BYTES)]
