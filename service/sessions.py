"""sessions.py: who signed in on the page <-> a signed cookie; the key itself is not in it.

The cookie is signed with a secret that is made anew at every start and shared by the workers: a
restart signs everybody out, and nothing that could sign one lies on the disk.
"""

import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path
from typing import Final

from service.key_ring import Caller, KeyRing

COOKIE: Final = "reranker_session"
SECONDS: Final = 12 * 3600
_BYTES: Final = 32


class Sessions:
    """folder: where the workers of one start meet; None for a process on its own."""

    def __init__(self, ring: KeyRing, folder: Path | None) -> None:
        self._ring = ring
        self._secret = _shared(folder / "session.secret") if folder else secrets.token_bytes(_BYTES)

    def begin(self, caller: Caller) -> str:
        """The cookie's value. Its end is counted on the clock of the machine since its start."""
        content = f"{caller.secret}.{int(time.monotonic()) + SECONDS}"
        return f"{content}.{self._sign(content)}"

    def caller(self, cookie: str) -> Caller | None:
        """Who signed in, if the cookie is ours and in time, and the key is valid still."""
        content, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._sign(content).encode(), signature.encode()):
            return None
        secret, _, until = content.rpartition(".")
        return self._ring.still(secret) if time.monotonic() < int(until) else None

    def _sign(self, content: str) -> str:
        return hmac.new(self._secret, content.encode(), hashlib.sha256).hexdigest()


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
