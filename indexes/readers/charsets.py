"""charsets.py: bytes of a text file in any usual encoding -> the same text in UTF-8."""

import codecs
import io
import re
from typing import BinaryIO, Final

from indexes.errors import Failure

_PIECE: Final = 64 * 1024
_SAMPLE: Final = 64 * 1024  # bytes that say which encoding it is
# A byte order mark and the encoding it stands for; the longer ones first.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UTF8: Final = ("utf-8", "utf-8-sig", "ascii")
_WEST: Final = ["cp1252", "latin_1", "iso8859_15", "cp1254", "iso8859_9", "mac_roman", "cp1258"]
_WESTERN: Final = "cp1252"  # what Latin-1 is in practice: the same letters, and the euro sign


def marked_encoding(start: bytes) -> str | None:
    """The encoding that the first bytes of a file show, other than UTF-8; None: they show none."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    if len(start) < 4:
        return None
    zeros = bytes(byte == 0 for byte in start[:4])
    return {b"\0\1\0\1": "utf-16-le", b"\1\0\1\0": "utf-16-be"}.get(zeros)


def known_encoding(name: str) -> str:
    """The proper name of an encoding; Failure for one that there is not."""
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError, UnicodeError):
        raise Failure(
            f"There is no text encoding {name!r}.",
            field="encoding",
            hint="Usual ones are utf-8, windows-1252, iso-8859-2, utf-16, cp1250, shift_jis.",
        ) from None


def is_utf8(name: str) -> bool:
    """Whether an encoding's name means UTF-8, or what is part of it."""
    return known_encoding(name) in _UTF8


def likely_encoding(sample: bytes) -> str | None:
    """The encoding of bytes that are not UTF-8, by charset-normalizer; None: they make no words.

    Where text of Western Europe looks right, it is Windows-1252.
    """
    encoding = _guessed(sample[:_SAMPLE])
    return encoding if _IN_WORDS.search(sample[:_SAMPLE].decode(encoding, "replace")) else None


def _guessed(sample: bytes) -> str:
    from charset_normalizer import from_bytes  # takes a while, and is seldom needed

    try:
        western: str | None = sample.decode(_WESTERN)
    except UnicodeDecodeError:
        western = None
    odd_words = western is None or bool(_WITHIN_WORD.search(western))
    ranked = from_bytes(sample, threshold=0.5, cp_exclusion=_WEST if odd_words else None)
    best = ranked.best()
    if best is None:
        return _WESTERN if western is not None else "latin-1"
    if western is not None and not odd_words and _is_western(western):
        return _WESTERN
    return best.encoding


def _is_western(text: str) -> bool:
    """Whether text read as Windows-1252 looks right: its odd letters are letters of Europe's west.

    Few such letters are too little for statistics, which then name a rare code page.
    """
    odd = [letter for letter in text if not letter.isascii()]
    lower, letters = sum(map(str.islower, odd)), sum(map(str.isalpha, odd))
    return (
        all(letter in _WESTERN_LETTERS for letter in odd)
        and len(odd) < 0.3 * len("".join(text.split()))
        and 2 * lower >= letters
    )


_WESTERN_LETTERS: Final = frozenset(
    "äöüÄÖÜßéèêëÉÈÊËàâáãåÀÂÁÃÅçÇîïíìÎÏÍÌôóòõøÔÓÒÕØûúùÛÚÙñÑæÆœŒÿ"
    "€£°«»“”„‘’‚–—…®©™§²³½¼¾×±µ·´¿¡ªº\xa0\xad"
)
_LETTER: Final = r"[^\W\d_]"
_BEYOND: Final = r"(?![\x00-\x7f])"  # the letter after it is none of ASCII
_IN_WORDS: Final = re.compile(rf"{_LETTER}{_BEYOND}{_LETTER}|{_BEYOND}{_LETTER}{_LETTER}|[€£°²®™]")
_WITHIN_WORD: Final = re.compile(r"[^\W\d_][°«»²³½¼¾×±µ´¿¡ªº£€§©®][^\W\d_]")


class Transcoded(io.RawIOBase):
    """Bytes in some encoding, read as UTF-8; what cannot be decoded becomes U+FFFD."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int] | bytearray") -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            piece = self._file.read(_PIECE)
            self._ended = not piece
            text = self._decoder.decode(piece, final=self._ended)
            self._ready = text.encode("utf-8", "replace")
        taken = min(len(buffer), len(self._ready))
        buffer[:taken] = self._ready[:taken]
        self._ready = self._ready[taken:]
        return taken


class LineFeeds(io.RawIOBase):
    """Bytes with carriage returns for line ends, read with line feeds."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int] | bytearray") -> int:  # type: ignore[override]
        piece = self._file.read(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(piece)] = piece
        return len(piece)
