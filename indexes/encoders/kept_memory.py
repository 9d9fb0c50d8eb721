"""kept_memory.py: buffers that are freed and wanted again -> no trip to the operating system."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# glibc's own numbers and defaults (malloc.h, mallopt(3)).
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_DEFAULT: Final = 128 * 1024
_KEPT: Final = 512 * 1024 * 1024
_LARGEST_KEPT: Final = 32 * 1024 * 1024  # the most that glibc allows


@contextmanager
def kept_memory() -> Iterator[None]:
    """Inside, freed memory stays with the process. Nothing happens where libc is not glibc.

    Each batch frees and takes the same few megabytes again. Returned and fetched every time, as
    page after page of zeros, they cost an eighth of the encoding time.
    """
    libc = ctypes.CDLL(None)
    if not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")):
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
    libc.mallopt(_TRIM_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, _DEFAULT)
        libc.mallopt(_TRIM_THRESHOLD, _DEFAULT)
        libc.malloc_trim(0)
