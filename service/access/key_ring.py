"""key_ring.py: <home>/keys, looked at again every second -> who a presented key belongs to."""

import hmac
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from indexes.errors import Failure
from service.access.keys import ApiKey, BadKeyFile, KeyFile, Secret, digest, read_keys, write_keys

log = logging.getLogger("reranker")

LOOK_SECONDS: Final = 0.8  # made, rotated and revoked keys count within a second
_LONGEST: Final = 256  # characters of a key; ours have 47


class Caller(NamedTuple):
    """Whom a key or a session belongs to. secret: names the secret without telling its hash."""

    name: str
    scopes: frozenset[str]
    rate: float | None
    secret: str

    def may(self, scope: str) -> bool:
        """Whether this scope, or admin, is among the caller's; every caller may what needs ""."""
        return not scope or scope in self.scopes or "admin" in self.scopes


class _Way(NamedTuple):
    """A way in: the hash to compare with, whose it is, and its end on the monotonic clock."""

    sha256: bytes
    caller: Caller
    until: float | None


class KeyRing:
    """What one worker knows of the keys of its home.

    The file is looked at by whichever request comes first after LOOK_SECONDS; that is one stat.
    Once there were keys, a file that goes away or cannot be read never opens the service: the keys
    known last, or none at all, hold. So they do in a worker that starts later: folder is where the
    workers of one start meet and leave what they know. BadKeyFile when the file cannot be read and
    no worker of this start ever could.
    """

    def __init__(self, home: Path, folder: Path | None = None) -> None:
        self._file = KeyFile(home)
        self._known = folder / "keys.known" if folder else None
        self._seen: tuple[int, int, int] | None = None
        self._ways: tuple[_Way, ...] = ()
        self._ends: dict[Secret, float] = {}
        self._look_at = 0.0
        self._complained = False
        self.configured = False
        self._begin()
        self._look_at = time.monotonic() + LOOK_SECONDS

    def _begin(self) -> None:
        known = self._known is not None and os.path.lexists(self._known)
        try:
            self._load(self._signature())
        except (BadKeyFile, OSError) as error:
            if self._known is None or not known:
                raise
            self._take(read_keys(self._known))
            self._complain(error)
        self.configured = self.configured or known

    def refresh(self) -> None:
        """Take up what was changed; at most one look every LOOK_SECONDS."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        try:
            signature = self._signature()
            if signature != self._seen or self._complained:
                self._load(signature)
                self._complained = False
            self.configured = self.configured or self._file.required
        except (Failure, OSError) as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            log.error("the keys known last go on to hold: %s", error)
        self._complained = True

    def owner(self, key: str) -> Caller | None:
        """Whose key this is; every hash is compared, and each in constant time."""
        if len(key) > _LONGEST:
            return None
        presented, now = digest(key), time.monotonic()
        owner = None
        for way in self._ways:
            if hmac.compare_digest(way.sha256, presented) and (
                way.until is None or now < way.until
            ):
                owner = way.caller
        return owner

    def still(self, secret: str) -> Caller | None:
        """The caller whose `secret` this is, as long as it is valid: for sessions."""
        now = time.monotonic()
        for way in self._ways:
            if way.caller.secret == secret and (way.until is None or now < way.until):
                return way.caller
        return None

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            status = self._file.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadKeyFile(f"{self._file.path} cannot be read: {error.strerror}.") from None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _load(self, signature: tuple[int, int, int] | None) -> None:
        keys = self._file.read()
        self._take(keys)
        if signature is None and self._seen is not None:
            log.error("%s is gone: nobody gets in until there are keys again", self._file.path)
        self._seen = signature
        self.configured = self.configured or signature is not None or self._file.required
        if signature is not None:
            self._file.require()  # for the next start
        if self.configured:
            self._remember(keys)

    def _remember(self, keys: tuple[ApiKey, ...]) -> None:
        """For the workers that come after this one."""
        if self._known is not None:
            with suppress(OSError):  # a full disk: the note in the home is there still
                write_keys(self._known, keys)

    def _take(self, keys: tuple[ApiKey, ...]) -> None:
        self._ends = {
            secret: self._end(secret) for key in keys for secret in key.secrets if secret.until
        }
        self._ways = tuple(
            self._way(key, secret) for key in keys if key.revoked is None for secret in key.secrets
        )

    def _way(self, key: ApiKey, secret: Secret) -> _Way:
        name = digest(f"session {secret.sha256}").hex()[:32]
        caller = Caller(key.name, frozenset(key.scopes), key.rate, name)
        return _Way(bytes.fromhex(secret.sha256), caller, self._ends.get(secret))

    def _end(self, secret: Secret) -> float:
        """Counted on the monotonic clock once it is known, so that a clock that is set neither ends
        nor lengthens an overlap; and never longer than the overlap that was asked for."""
        left = min((secret.until or 0.0) - time.time(), secret.overlap or 0.0)
        return self._ends.get(secret, time.monotonic() + left)
