"""pseudonyms.py: a shopper's name and the home's key -> the name under which rankings are logged.

A keyed hash: without the key nobody can try names until one fits; with the key deleted, nobody can
tell any more whose rankings they were.
"""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from indexes.durable import sync
from indexes.errors import Failure

KEY_FILE: Final = "key"
_KEY_BYTES: Final = 32
_DIGITS: Final = 32
_OWNER_ONLY: Final = 0o600


class Pseudonyms:
    """Names of users and sessions, made with one key."""

    def __init__(self, key: bytes) -> None:
        self._users = hmac.new(key, b"u ", hashlib.sha256)
        self._sessions = hmac.new(key, b"s ", hashlib.sha256)

    def user(self, name: str) -> str:
        """32 hex digits; a user and a session of the same name have different ones."""
        return _digits(self._users, name)

    def session(self, name: str) -> str:
        """32 hex digits."""
        return _digits(self._sessions, name)


def _digits(begun: hmac.HMAC, name: str) -> str:
    digest = begun.copy()
    digest.update(name.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:_DIGITS]


def read_pseudonyms(folder: Path) -> Pseudonyms | None:
    """Those of the key in this folder; None where there is no key. Failure when it is damaged."""
    path = folder / KEY_FILE
    try:
        key = bytes.fromhex(path.read_text("ascii"))
    except FileNotFoundError:
        return None
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise Failure(
            f"{path} is damaged: {_KEY_BYTES} bytes in hex digits are expected.",
            hint="Restore it from a backup; or delete it with the .jsonl files beside it, which "
            "nobody can be recognised in without it.",
        )
    return Pseudonyms(key)


def open_pseudonyms(folder: Path) -> Pseudonyms:
    """Those of the key in this folder, which is made when there is none; the first process wins."""
    found = read_pseudonyms(folder)
    if found is not None:
        return found
    aside = folder / f".{KEY_FILE}.{os.getpid()}.{secrets.token_hex(4)}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_hex(_KEY_BYTES).encode())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(aside, folder / KEY_FILE)
    finally:
        aside.unlink()
    sync(folder)
    made = read_pseudonyms(folder)
    assert made is not None
    return made
