"""packed_files.py: an open file, packed or not -> its content as a stream, up to a limit.

By what it begins with, whatever its name is. Packed within packed is unpacked, too.
"""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

_BUFFER: Final = 1 << 18
_LAYERS: Final = 3
_UNKNOWN: Final = {
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!": "RAR",
    b"\x04\x22\x4d\x18": "LZ4",
}
_DAMAGE: Final = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile)


class Unreadable(Exception):
    """Why the content of a file cannot be told."""


@contextmanager
def reading() -> Iterator[None]:
    """Turn what the libraries say of damage into Unreadable."""
    try:
        yield
    except _DAMAGE as error:
        raise Unreadable(f"is damaged ({error})") from error
    except (RuntimeError, NotImplementedError) as error:  # a password, a method not known here
        raise Unreadable(f"cannot be unpacked ({error})") from error
    except OSError as error:
        if error.errno is None:  # as bz2 says it
            raise Unreadable(f"is damaged ({error})") from error
        raise


def unpacked(file: IO[bytes], most: int) -> io.BufferedReader:
    """The content below all packing. Unreadable, on reading: more than so many bytes of it."""
    for _ in range(_LAYERS):
        buffered = _buffered(file)
        start = buffered.peek(8)
        packer = _unpacker(buffered, start)
        if packer is None:
            return buffered
        file = io.BufferedReader(_Limited(packer, most), _BUFFER)
    raise Unreadable(f"is packed {_LAYERS} times over")


def _buffered(file: Any) -> io.BufferedReader:
    return file if isinstance(file, io.BufferedReader) else io.BufferedReader(file, _BUFFER)


def _unpacker(file: io.BufferedReader, start: bytes) -> Any:
    for magic, name in _UNKNOWN.items():
        if start.startswith(magic):
            raise Unreadable(f"is packed as {name}, which is not unpacked here")
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(b"BZh") and start[4:7] == b"1AY":
        return bz2.BZ2File(file)
    return lzma.LZMAFile(file) if start.startswith(b"\xfd7zXZ\x00") else None


class _Limited(io.RawIOBase):
    """A stream that is given up after so many bytes: a small file may unpack to very many."""

    def __init__(self, file: Any, most: int) -> None:
        self._file, self._left, self._most = file, most, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._file.read1(len(buffer))
        self._left -= len(piece)
        if self._left < 0:
            raise Unreadable(f"unpacks to more than {self._most:,} bytes")
        buffer[: len(piece)] = piece
        return len(piece)
