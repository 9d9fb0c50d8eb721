"""unpacking.py: gzipped bytes from somebody else -> what they hold, up to a limit, never more.

A few kilobytes can stand for gigabytes: memory holds a piece at a time, and reading stops at the
limit.
"""

import zlib
from collections.abc import Iterator
from typing import Final

from indexes.errors import Failure

_PIECE: Final = 64 * 1024
_BLOCK: Final = 4 * 1024  # that zlib is given at a time
_GZIP: Final = 16 + zlib.MAX_WBITS


class BadPacking(Failure):
    """Bytes that are not gzip, or not all of it."""

    code = "bad_gzip"


class TooLarge(Failure):
    """More bytes than were allowed; `most` is the limit."""

    code = "too_large"

    def __init__(self, message: str, most: int, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.most = most


def unpacked(data: bytes, most: int) -> bytes:
    """What gzipped bytes hold. TooLarge above `most` bytes; BadPacking for what is no gzip."""
    return b"".join(unpacked_pieces(data, most))


def unpacked_pieces(data: bytes, most: int) -> Iterator[bytes]:
    """The same in pieces of at most 64 kB. Several gzip members one after the other are one."""
    if not data:
        raise BadPacking("There are no bytes, which no gzip is.")
    remaining, packed = most, _Packed(data)
    while packed.block:
        for piece in packed.member():
            remaining -= len(piece)
            if remaining < 0:
                raise TooLarge(f"It unpacks to more than {most:,} bytes.", most)
            yield piece


class _Packed:
    """What is left of gzipped bytes; `block` is empty when nothing is.

    A little is handed over at a time: zlib copies whatever it leaves, and thousands of tiny members
    would copy all of it thousands of times.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self.block = b""
        self._fill()

    def _fill(self) -> bool:
        self.block = self._data[self._at : self._at + _BLOCK]
        self._at += len(self.block)
        return bool(self.block)

    def member(self) -> Iterator[bytes]:
        """The pieces of the next member."""
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            try:
                piece = member.decompress(self.block, _PIECE)
            except zlib.error as error:
                raise BadPacking(f"The gzip is damaged ({error}).") from None
            self.block = member.unconsumed_tail
            if piece:
                yield piece
            elif not self.block and not member.eof and not self._fill():
                raise BadPacking("The gzip ends too early.")
        self.block = member.unused_data.lstrip(b"\0")  # tar and tapes fill up with zeros
        while not self.block and self._fill():
            self.block = self.block.lstrip(b"\0")


def lines(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    """The lines of a stream of pieces, without their ends; TooLarge for a line above `most`."""
    open_line = b""
    for piece in pieces:
        *whole, open_line = (open_line + piece).split(b"\n")
        if len(open_line) > most or any(len(line) > most for line in whole):
            raise TooLarge(f"A line is longer than {most:,} bytes.", most)
        yield from whole
    if open_line:
        yield open_line
