"""sessions.py: who signed in on the page <-> a signed cookie; the key itself is not in it.

The cookie is signed with a secret that is made anew at every start and shared by the workers: a
restart signs everybody out, and nothing that could sign one lies in the home. Signing out ends the
session in every worker, not in this browser alone.
"""

import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import Final, NamedTuple

from itsdangerous import BadSignature, Signer

from service.access.ended_sessions import EndedSessions
from service.access.key_ring import Caller, KeyRing

COOKIE: Final = "reranker_session"
SECONDS: Final = 12 * 3600
_BYTES: Final = 32


class _Session(NamedTuple):
    """What a cookie says. began, until: on the clock of the machine since its start."""

    secret: str
    id: str
    began: float

    @property
    def until(self) -> float:
        return self.began + SECONDS


class Sessions:
    """folder: where the workers of one start meet; None for a process on its own."""

    def __init__(self, ring: KeyRing, folder: Path | None) -> None:
        self._ring = ring
        secret = _shared(folder / "session.secret") if folder else secrets.token_bytes(_BYTES)
        self._signer = Signer(secret, salt=COOKIE, digest_method=hashlib.sha256)
        self._ended = EndedSessions(folder)

    def begin(self, caller: Caller) -> str:
        """The cookie's value."""
        content = f"{caller.secret}.{secrets.token_hex(8)}.{time.monotonic_ns()}"
        return self._signer.sign(content).decode()

    def caller(self, cookie: str) -> Caller | None:
        """Who signed in, if the cookie is ours, in time and not signed out of, and the key is
        valid still."""
        session = self._session(cookie)
        if session is None or time.monotonic() >= session.until:
            return None
        if self._ended.has(session.id, session.began):
            return None
        return self._ring.still(session.secret)

    def end(self, cookie: str) -> None:
        """Take this cookie no more, in any worker; OSError where the others cannot be told."""
        session = self._session(cookie)
        if session is not None and time.monotonic() < session.until:
            self._ended.add(session.id, session.until)

    def _session(self, cookie: str) -> _Session | None:
        """What a cookie says, if we said it."""
        try:
            content = self._signer.unsign(cookie.encode("utf-8", "replace")).decode()
        except BadSignature:
            return None
        secret, session, began = content.split(".")
        return _Session(secret, session, int(began) / 1e9)


def _shared(path: Path) -> bytes:
    """The same bytes in every worker: whoever links its own first has made them."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(secrets.token_bytes(_BYTES))
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink()
    return path.read_bytes()
