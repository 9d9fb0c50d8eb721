"""keys.py: API keys <-> <home>/keys/keys.json, which holds their SHA-256 and never a key.

<home>/keys_required says that this home had keys: without it, a file of keys that got lost would
open at the next start what it had locked.

A key is 256 random bits, so a plain SHA-256 is enough: nobody can try out 2^256 of them, and the
salted, slow hashes that short passwords need would only slow down every request.
"""

import hashlib
import math
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec

from indexes.errors import Failure
from indexes.storage import durable
from indexes.storage.locks import waiting

Scope = Literal["rerank", "events", "items", "tune", "admin", "envelope"]

SCOPES: Final[tuple[str, ...]] = get_args(Scope)
ENVELOPE: Final = "envelope"  # a right to say, not a way in; `admin` does not bring it
PREFIX: Final = "rrk_"  # so that a scanner for secrets knows one when it sees it
OVERLAP_SECONDS: Final = 24 * 3600.0
SLOWEST_RATE: Final = 0.001  # requests a second
FASTEST_RATE: Final = 1_000_000.0
_RANDOM_BYTES: Final = 32
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PRIVATE_FILE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
_REQUIRED: Final = b"This home is served with keys only; `reranker keys open` ends that.\n"


class BadKey(Failure):
    """A key that does not exist, exists already or has a name that it cannot have."""

    code = "bad_key"


class BadKeyFile(Failure):
    """The file of keys cannot be read: nobody knows who may come in, so nobody may."""

    code = "bad_key_file"


class Secret(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One way in. until: epoch seconds at which it ends; overlap: how long before that it was
    given notice, in seconds."""

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    created: str
    until: float | None = None
    overlap: float | None = None


class ApiKey(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is kept of a key. rate: requests/s, None for limits.rate. revoked: when, if it is."""

    name: str
    scopes: tuple[Scope, ...]
    created: str
    secrets: tuple[Secret, ...]
    rate: Annotated[float, msgspec.Meta(ge=0, le=FASTEST_RATE)] | None = None
    revoked: str | None = None

    @property
    def active(self) -> bool:
        """Whether one of its secrets may still come in."""
        return self.revoked is None and any(live(secret) for secret in self.secrets)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: tuple[ApiKey, ...]
    format: Literal[1] = 1


def digest(key: str) -> bytes:
    """What is kept of a key, and compared: 32 bytes."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def live(secret: Secret) -> bool:
    """Whether its end, if it has one, is still to come by this machine's clock."""
    return secret.until is None or secret.until > time.time()


class KeyFile:
    """The keys of one home. Every change is one rename: before it the old keys hold, after it the
    new ones, whatever is killed when."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "keys"
        self._required = home / "keys_required"
        self.path = self._folder / "keys.json"

    def read(self) -> tuple[ApiKey, ...]:
        """Every key, revoked ones too, oldest first; BadKeyFile when that cannot be known."""
        return read_keys(self.path)

    @property
    def required(self) -> bool:
        """Whether this home has, or had, keys: then nobody gets in without one."""
        return os.path.lexists(self._required) or os.path.lexists(self.path)

    def require(self) -> None:
        """Note that this home has keys. A disk that takes no note leaves the keys themselves."""
        if not os.path.lexists(self._required):
            with suppress(OSError):
                durable.write_synced(self._required, _REQUIRED)
                durable.sync(self._required.parent)

    def create(
        self, name: str, scopes: tuple[Scope, ...], rate: float | None = None
    ) -> tuple[str, ApiKey]:
        """A new key, to be shown once, and what is kept of it; BadKey when the name is taken."""
        check_name(name)
        check_rate(rate)
        with self._alone():
            keys = self.read()
            before = next((known for known in keys if known.name == name), None)
            if before is not None and before.active:
                raise BadKey(
                    f"There is a key {name!r} already.",
                    field="name",
                    hint=f"Choose another name, or `reranker keys rotate {name}` gives it a new "
                    "secret.",
                )
            key = _new_key()
            created = ApiKey(name, _ordered(scopes), _now(), (_secret(key),), rate)
            self._write((*(known for known in keys if known.name != name), created))
        return key, created

    def rotate(self, name: str, overlap: float = OVERLAP_SECONDS) -> tuple[str, ApiKey]:
        """A new secret for a key; the ones before stay valid for `overlap` seconds, no longer."""
        with self._alone():
            keys = self.read()
            before = _named(keys, name)
            key = _new_key()
            ending = (_ending(secret, overlap) for secret in before.secrets if live(secret))
            old = tuple(ending) if overlap > 0 else ()
            rotated = msgspec.structs.replace(before, secrets=(*old, _secret(key)))
            self._write(_with(keys, rotated))
        return key, rotated

    def revoke(self, name: str) -> ApiKey:
        """Let nobody in with this key any more; it stays in the list, without its hashes."""
        with self._alone():
            keys = self.read()
            revoked = msgspec.structs.replace(_named(keys, name), secrets=(), revoked=_now())
            self._write(_with(keys, revoked))
        return revoked

    def open(self) -> None:
        """Forget that there were keys, so that the next start asks for none; BadKey while one of
        them is active. The file goes first: a crash in between leaves the home locked."""
        with self._alone():
            active = ", ".join(key.name for key in self.read() if key.active)
            if active:
                raise BadKey(
                    f"There are keys that are active: {active}.",
                    hint="`reranker keys revoke NAME` ends one; then open the home.",
                )
            for path in (self.path, self._required):
                path.unlink(missing_ok=True)
                durable.sync(path.parent)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One change at a time; BadKeyFile where the folder takes none."""
        try:
            with waiting(self._lock_file()):
                yield
        except OSError as error:
            raise BadKeyFile(
                f"{self._folder} cannot be written: {error.strerror}.",
                hint="Run this as the account that owns the home, where its disk has room.",
            ) from None

    def _lock_file(self) -> Path:
        durable.make_folder(self._folder.parent)
        if not self._folder.is_dir():
            self._folder.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
            durable.sync(self._folder.parent)
        lock = self._folder / "lock"
        lock.touch(mode=_PRIVATE_FILE)
        return lock

    def _write(self, keys: tuple[ApiKey, ...]) -> None:
        write_keys(self.path, keys)
        self.require()


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys in a file, none where there is no file; BadKeyFile when that cannot be known."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).keys
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise BadKeyFile(
            f"{path} cannot be read: {error.strerror}.",
            hint="Give it to the account that serves, with `chown` and `chmod 600`.",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadKeyFile(
            f"{path} is no file of keys: {error}.",
            hint="Restore it, or remove it and make new keys with `reranker keys create`.",
        ) from None


def write_keys(path: Path, keys: tuple[ApiKey, ...]) -> None:
    """The file, in one step, for its owner alone."""
    content = msgspec.json.format(msgspec.json.encode(_File(keys)), indent=1) + b"\n"
    durable.replace_synced(path, content, _PRIVATE_FILE)


def _named(keys: tuple[ApiKey, ...], name: str) -> ApiKey:
    named = next((key for key in keys if key.name == name), None)
    if named is None or not named.active:
        active = ", ".join(key.name for key in keys if key.active) or "none"
        gone = "was revoked" if named else "does not exist"
        raise BadKey(
            f"The key {name!r} {gone}; there is {active}.",
            field="name",
            hint="Run `reranker keys list`.",
        )
    return named


def _with(keys: tuple[ApiKey, ...], changed: ApiKey) -> tuple[ApiKey, ...]:
    return tuple(changed if key.name == changed.name else key for key in keys)


def check_name(name: str) -> None:
    """BadKey unless it is plain."""
    if not _NAME.fullmatch(name):
        raise BadKey(
            f"name is {name[:80]!r}; allowed are up to 64 of a-z, 0-9, '.', '_' and '-', beginning "
            "with a letter or a digit.",
            field="name",
        )


def check_rate(rate: float | None) -> None:
    """BadKey unless it is a rate that can be kept: 0 is no limit."""
    if rate is None or rate == 0:
        return
    if not math.isfinite(rate) or not SLOWEST_RATE <= rate <= FASTEST_RATE:
        raise BadKey(
            f"rate is {rate:g}; allowed is 0, which is no limit, or a number from {SLOWEST_RATE:g} "
            f"to {FASTEST_RATE:,.0f} requests per second.",
            field="rate",
        )


def _ordered(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    return tuple(sorted(set(scopes), key=SCOPES.index))


def _new_key() -> str:
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def _secret(key: str) -> Secret:
    return Secret(digest(key).hex(), _now())


def _ending(secret: Secret, overlap: float) -> Secret:
    until = time.time() + overlap
    if secret.until is not None and secret.until <= until:
        return secret
    return msgspec.structs.replace(secret, until=until, overlap=overlap)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
