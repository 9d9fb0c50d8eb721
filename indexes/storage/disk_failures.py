"""disk_failures.py: a disk that refuses -> a Failure that says where, why and what next."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from indexes.errors import Failure
from indexes.storage.manifests import Unfit

_HINTS: Final[dict[int | None, str]] = {
    errno.ENOSPC: "Make room on that disk and run the same command again.",
    errno.EDQUOT: "Make room in the quota and run the same command again.",
    errno.EROFS: "The disk is read-only: name a home that can be written.",
    errno.EACCES: "Mend the permissions, or run as the owner of that folder.",
    errno.EPERM: "Mend the permissions, or run as the owner of that folder.",
}


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
