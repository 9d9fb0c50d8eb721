"""packed_files.py: an open file, packed or not -> its content as a stream, up to a limit.

By what it begins with, whatever its name is. Packed within packed is unpacked, too.
"""

import bz2
import codecs
import gzip
import io
import lzma
import tarfile
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
    b"\x1f\x9d": "compress (.Z)",
    b"LZIP": "lzip",
    b"\x5d\x00\x00": "LZMA without a frame",
    b"\xff\x06\x00\x00sNaP": "Snappy",
    b"ARROW1": "Arrow or Feather",
    b"FEA1": "Feather",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"\x89HDF": "HDF5",
}
# Their directory stands at the end, so they cannot be read as a stream.
_INSIDE: Final = {b"PK\x03\x04": "a zip archive", b"PAR1": "a Parquet file"}
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TAR: Final = slice(257, 262)  # where a tar archive says what it is
_TAR_NAME: Final = b"ustar"
_DAMAGE: Final = (
    *(EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile),
    tarfile.TarError,
)


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
            return _as_utf_8(buffered, start)
        file = io.BufferedReader(_Limited(packer, most), _BUFFER)
    raise Unreadable(f"is packed {_LAYERS} times over")


def is_tar(file: io.BufferedReader) -> bool:
    """Whether the content is a tar archive."""
    return file.peek(_TAR.stop)[_TAR] == _TAR_NAME


def _as_utf_8(file: io.BufferedReader, start: bytes) -> io.BufferedReader:
    """UTF-16 that says so at its beginning as what everything else is searched as."""
    if not start.startswith(_UTF_16) or start.startswith(codecs.BOM_UTF32_LE):
        return file
    return io.BufferedReader(_Recoded(file), _BUFFER)


def _buffered(file: Any) -> io.BufferedReader:
    return file if isinstance(file, io.BufferedReader) else io.BufferedReader(file, _BUFFER)


def _unpacker(file: io.BufferedReader, start: bytes) -> Any:
    for magic, name in _UNKNOWN.items():
        if start.startswith(magic):
            raise Unreadable(f"is packed as {name}, which is not unpacked here")
    for magic, what in _INSIDE.items():
        if start.startswith(magic):
            raise Unreadable(f"is {what} within another file, which is not looked into")
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


class _Recoded(io.RawIOBase):
    """UTF-16, whichever end first, as UTF-8."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file, self._left = file, b""
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = self._file.read1(_BUFFER)
            text = self._decoder.decode(piece, final=not piece)
            self._left = text.encode("utf-8", "replace")
            if not piece and not self._left:
                return 0
        now, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(now)] = now
        return len(now)
