"""text_search.py: pieces of a file -> whether a shopper's name is in them, however it is written.

Programs write one name in many ways: "Jürgen" is in JSON also "J\\u00fcrgen", in JSON within JSON
escaped twice; or decomposed, in Latin-1, in UTF-16, as J%C3%BCrgen in an address. Escapes are
undone as JSON does it, whatever the file is: torn lines and JSON over many lines are searched, too.
In text a name counts where no letter and no digit goes on before or after it: shopper-4 is not in
shopper-42.
"""

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, AnyStr, Final
from urllib.parse import quote, unquote_plus

import msgspec

from indexes.names import BadName, normalised, read_name
from reranker.pseudonyms.pseudonyms import generation_of

MIN_LENGTH: Final = 6  # bytes; shorter ids occur by chance in any file
_ENCODINGS: Final = (
    *("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"),
    *("latin-1", "cp1252"),
)
_ROUNDS: Final = 8  # JSON within JSON within JSON ...
_PSEUDONYM: Final = re.compile(rb"~[0-9a-f]{34}")
_UNICODE: Final = re.compile(rb"\\u[0-9a-fA-F]{4}")
_ANY_ESCAPE: Final = re.compile(rb'\\(?:u[0-9a-fA-F]{4}|["/\\])')
_ESCAPE: Final = re.compile(
    r'\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(["/\\]))'
)
# Where a whole value is a user or a session; folded, without _ - . and blanks.
_WORDS: Final = (
    *("user", "session", "shopper", "customer", "visitor", "client", "member", "account", "buyer"),
    *("uid", "sid"),
)
KEYS: Final = frozenset(f"{word}{end}" for word in _WORDS for end in ("", "id", "key")) | {
    *("userpseudoid", "usersession", "usersessionid", "username", "usersessionkey"),
}
# A key and its value, by how each begins: patterns that begin with letters are searched fast.
_KEYED: Final = {
    word: re.compile(rf'{word}([A-Za-z_. -]{{0,12}})"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?)')
    for lower in _WORDS
    for word in (lower, lower.capitalize(), lower.upper())
}
# Names that are also words of the formats: anywhere else they mean anything.
_FORMAT_WORDS: Final = frozenset(
    (
        *("session", "sessions", "history", "candidate", "candidates", "queries", "request"),
        *("requests", "result", "results", "ranking", "rankings", "rating", "ratings"),
        *("judgment", "judgments", "position", "quantity", "personalize", "purchase", "purchased"),
        *("search", "searched", "viewed", "add_to_cart", "remove_from_cart", "wishlist"),
        *("default", "engine", "weights", "contributions", "explanation", "segment", "segments"),
        *("shopper", "customer", "category", "currency", "available", "description", "updated"),
    )
)
_AFTER: Final = r"(?:(?<![^\W_])|(?<=\\[bfnrt])|(?<=%[0-9a-fA-F][0-9a-fA-F]))"
_BEFORE: Final = r"(?![^\W_]|\\u[0-9a-fA-F]{4})"  # which letter it is, the unescaped text tells


def can_be_searched(name: str) -> bool:
    """Whether finding these characters anywhere in a file would mean anything: a short id, a number
    and a word of the formats stand for something else, too."""
    long = len(name.encode("utf-8", "surrogatepass")) >= MIN_LENGTH
    return long and not name.isdecimal() and name.casefold() not in _FORMAT_WORDS


def is_key(name: str) -> bool:
    """Whether the values of this key, or column, are users or sessions."""
    return re.sub(r"[_.\s-]", "", name).casefold() in KEYS


class NameSearch:
    """Names and pseudonyms to look for. short: names that count only as whole values of KEYS."""

    def __init__(self, names: Iterable[str]) -> None:
        every = {normalised(name) or name for name in names if name}
        self._pseudonyms = frozenset(name.encode() for name in every if generation_of(name))
        plain = {name for name in every if not generation_of(name)}
        self._long = {name for name in plain if can_be_searched(name)}
        self.short = frozenset(plain - self._long)
        self._needles = {
            needle: re.compile(_alone(re.escape(needle), name))
            for name in self._long
            for needle in _spellings(name)
        }
        self._alone = {name: re.compile(_alone(re.escape(name), name)) for name in self._long}
        special = any(set(name) & {'"', "/", "\\"} for name in plain)
        self._escapes = _ANY_ESCAPE if special else _UNICODE
        self._addressed = any(quote(name, "") != name for name in self._long)
        self._marked = any(not name.isascii() or html.escape(name) != name for name in self._long)
        self._composed = any(not name.isascii() for name in self._long)

    def holds(self, piece: bytes) -> bool:
        """Whether one of them is in these bytes, which may be of any file."""
        plain = b"\0" not in piece  # in other files values stand side by side
        for needle, alone in self._needles.items():
            if needle in piece and (not plain or _stands_alone(piece, alone)):
                return True
        if self._holds_pseudonym(piece):
            return True
        return any(self._text_holds(text, plain) for text in self._texts(piece))

    def holds_row(self, row: Any) -> bool:
        """The same of decoded values, such as a row of a Parquet file or of a table."""
        if isinstance(row, dict):
            keyed = any(is_key(str(key)) and self._is_short(value) for key, value in row.items())
            return keyed or any(map(self.holds_row, (*row.keys(), *row.values())))
        if isinstance(row, list | tuple):
            return any(map(self.holds_row, row))
        return self.holds(str(row).encode("utf-8", "surrogatepass"))

    def _holds_pseudonym(self, piece: bytes) -> bool:
        if not self._pseudonyms or b"~" not in piece:
            return False
        return any(pseudonym in self._pseudonyms for pseudonym in _PSEUDONYM.findall(piece))

    def _texts(self, piece: bytes) -> Iterator[str]:
        """The piece as text in the ways in which it may be meant; none where bytes say it all."""
        binary = _is_binary(piece)  # such as vectors, where signs mean nothing by themselves
        escaped = (_UNICODE if binary else self._escapes).search(piece) is not None
        addressed = self._addressed and b"%" in piece and not binary
        marked = self._marked and b"&" in piece and not binary
        composed = self._composed and not piece.isascii() and not binary
        keyed = bool(self.short) and any(word.encode() in piece for word in _KEYED)
        if not (escaped or addressed or marked or composed or keyed):
            return
        text = piece.decode("utf-8", "replace")
        yield text
        if keyed and "\ufffd" in text:
            yield piece.decode("latin-1")
        if addressed:
            yield unquote_plus(text)
        if marked:
            yield html.unescape(text)
        for _ in range(_ROUNDS):
            plainer = _ESCAPE.sub(_unescaped, text) if "\\" in text else text
            if plainer == text:
                return
            text = plainer
            yield text

    def _text_holds(self, text: str, plain: bool) -> bool:
        if self.short and any(self._is_short(value) for value in _keyed_values(text)):
            return True
        if "~" in text and self._holds_pseudonym(text.encode("utf-8", "replace")):
            return True
        if not self._long:
            return False
        composed = text.isascii() or unicodedata.is_normalized("NFC", text)
        text = text if composed else unicodedata.normalize("NFC", text)
        return any(
            name in text and (not plain or alone.search(text) is not None)
            for name, alone in self._alone.items()
        )

    def _is_short(self, value: Any) -> bool:
        if not self.short:
            return False
        try:
            return read_name("", value) in self.short
        except BadName:
            return False


def _alone(pattern: AnyStr, name: str) -> AnyStr:
    """The pattern of a name on its own; an end of it that is a sign needs nothing beside it."""
    before, after = name[0].isalnum(), name[-1].isalnum()
    if isinstance(pattern, bytes):
        return (_AFTER.encode() if before else b"") + pattern + (_BEFORE.encode() if after else b"")
    return (_AFTER if before else "") + pattern + (_BEFORE if after else "")


def _stands_alone(piece: bytes, alone: re.Pattern[bytes]) -> bool:
    """Whether it is somewhere without a letter beside it that UTF-8 writes in several bytes."""
    for match in alone.finditer(piece):
        start, end = match.span()
        before = (piece[max(start - size, 0) : start] for size in (2, 3, 4))
        after = (piece[end : end + size] for size in (2, 3, 4))
        if not any(map(_is_letter, before)) and not any(map(_is_letter, after)):
            return True
    return False


def _is_letter(sign: bytes) -> bool:
    """One letter or digit of UTF-8 that is not ASCII."""
    if sign.isascii():
        return False
    try:
        text = sign.decode()
    except UnicodeDecodeError:
        return False
    return len(text) == 1 and text.isalnum()


def _is_binary(piece: bytes) -> bool:
    if b"\0" not in piece:
        return False
    try:
        piece.decode()
    except UnicodeDecodeError:
        return True
    return False


def _keyed_values(text: str) -> Iterator[Any]:
    for word, pattern in _KEYED.items():
        for match in pattern.finditer(text) if word in text else ():
            rest, value = match.groups()
            if text[match.start() - 1 : match.start()] == '"' and is_key(word + rest):
                try:
                    yield json.loads(value, strict=False)
                except ValueError:  # no JSON after all
                    yield value.strip('"')


def _spellings(name: str) -> Iterator[bytes]:
    for form in {unicodedata.normalize(kind, name) for kind in ("NFC", "NFD")}:
        for encoding in _ENCODINGS:
            try:
                yield form.encode(encoding)
            except UnicodeError:
                continue
        yield form.replace('"', '""').encode("utf-8", "surrogatepass")
        yield msgspec.json.encode(form)[1:-1]


def _unescaped(match: re.Match[str]) -> str:
    high, low, code, sign = match.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
    return chr(int(code, 16)) if code else str(sign)
