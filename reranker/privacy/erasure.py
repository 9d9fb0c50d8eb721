"""erasure.py: names of a shopper -> the files of the home that still hold one (none, after forget).

The proof that `forget` gives: every file is read again, unpacked where it is packed, and where a
link leads out of the home, what it leads to. What cannot be read is said: it proves nothing.
"""

import codecs
import csv
import io
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import msgspec

from indexes.errors import Failure
from indexes.readers.rows import file_kind, read_rows
from reranker.privacy.packed_files import Unreadable, is_tar, reading, unpacked
from reranker.pseudonyms.text_search import NameSearch, is_key

MOST_UNPACKED: Final = 4 << 30  # bytes of one packed file
_MOST_LINES: Final = 20  # of one file that are named
_PIECE: Final = 1 << 20
_OVERLAP: Final = 1 << 16  # longer than any name, however it is escaped
_WORD: Final = re.compile(rb"[0-9A-Za-z\x80-\xff]{1,1024}\Z")  # that a piece may have broken off in
_LAST_RESORT: Final = "look through it by hand, or delete it, and run `reranker forget` again"


class Searched(msgspec.Struct, frozen=True):
    """What was looked through, and which files hold a name. scanned: from the home, with sizes.

    lines: of found text files, the first lines that hold it. unread: what could not be read or not
    to its end, and what to do about it.
    """

    files: int
    bytes: int
    found: list[str]
    scanned: dict[str, int]
    lines: dict[str, list[int]] = {}
    unread: dict[str, str] = {}


def search_home(home: Path, names: Iterable[str], most_unpacked: int = MOST_UNPACKED) -> Searched:
    """Look for names and pseudonyms in every file, in memory that does not grow with them."""
    search = _Search(home, NameSearch(names), most_unpacked)
    search.walk(home)
    return Searched(
        len(search.scanned),
        sum(search.scanned.values()),
        sorted(search.lines),
        dict(sorted(search.scanned.items())),
        {where: lines for where, lines in sorted(search.lines.items()) if lines},
        dict(sorted(search.unread.items())),
    )


@dataclass
class _Search:
    """One walk through a home. lines: by file that holds a name; empty for one without lines."""

    home: Path
    names: NameSearch
    most: int
    scanned: dict[str, int] = field(default_factory=dict)
    lines: dict[str, list[int]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    _folders: set[tuple[int, int]] = field(default_factory=set)

    def walk(self, folder: Path) -> None:
        """All below a folder, each folder once."""
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in self._folders:
                return
            self._folders.add((status.st_dev, status.st_ino))
            entries = sorted(folder.iterdir())
        except FileNotFoundError:  # deleted meanwhile
            return
        except OSError as error:
            self._note(folder, f"cannot be opened ({error.strerror}): run as its owner")
            return
        for path in entries:
            self._look_at(path)

    def _look_at(self, path: Path) -> None:
        if self.names.holds(os.fsencode(path.name)):  # a file that is called after a shopper
            self.lines.setdefault(self._where(path), [])
        try:
            if path.is_symlink() and self._is_inside(path.resolve()):
                return  # it is looked at where it lies
            mode = path.stat().st_mode
        except FileNotFoundError:  # deleted meanwhile, or a link to nothing
            return
        except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself
            self._note(path, f"cannot be looked at ({error}): mend or delete it")
            return
        if stat.S_ISDIR(mode):
            if path.is_symlink() and path.resolve() in self.home.resolve().parents:
                self._note(path, "leads to a folder around the home: delete the link")
            else:
                self.walk(path)
        elif stat.S_ISREG(mode):
            self._file(path)

    def _is_inside(self, path: Path) -> bool:
        return path.is_relative_to(self.home.resolve())

    def _file(self, path: Path) -> None:
        where = self._where(path)
        try:
            with path.open("rb") as file:
                self.scanned[where] = os.fstat(file.fileno()).st_size
                self._content(path, file)
        except FileNotFoundError:  # deleted meanwhile
            self.scanned.pop(where, None)
        except Unreadable as why:
            self._note(path, f"{why}: {_LAST_RESORT}")
        except OSError as error:
            self._note(path, f"cannot be read ({error.strerror or error}): run as its owner")

    def _content(self, path: Path, file: io.BufferedReader) -> None:
        start = file.peek(8)
        if start.startswith(b"PAR1"):
            self._pieces(path, file)  # what the file says about itself
            self._rows(path)
        elif start.startswith(b"PK\x03\x04"):
            self._members(path, file)
        else:
            self._text(path, lambda: _from_start(file))

    def _text(self, path: Path, opened: Callable[[], IO[bytes]]) -> None:
        """All that a stream holds, packed or not; of a table the columns that name shoppers."""
        with reading():
            content = unpacked(opened(), self.most)
            if is_tar(content):
                self._tar(path, content)
                return
            self._pieces(path, content)
            if self.names.short:
                self._cells(path, unpacked(opened(), self.most))

    def _tar(self, path: Path, file: IO[bytes]) -> None:
        with tarfile.open(fileobj=file, mode="r|") as archive:
            for member in archive:
                if self.names.holds(member.name.encode("utf-8", "surrogateescape")):
                    self.lines.setdefault(self._where(path), [])
                inside = archive.extractfile(member) if member.isfile() else None
                if inside is None:
                    continue
                content = unpacked(inside, self.most)
                if self.names.short and _keyed_columns(content.peek(_PIECE))[1]:
                    raise Unreadable("holds a table, in which an id like this is not looked for")
                self._pieces(path, content)

    def _pieces(self, path: Path, file: io.BufferedReader) -> None:
        """Piece by piece; what a piece breaks off in is the beginning of the next one."""
        before, line, piece = b"", 1, b"-"
        while piece:
            piece = file.read1(_PIECE)
            whole = before + piece
            ready = _whole_words(whole) if piece else len(whole)
            if self.names.holds(whole[:ready]) and not self._note_lines(path, line, whole[:ready]):
                return
            end = max(whole.rfind(b"\n", 0, ready) + 1, _whole_words(whole[:-_OVERLAP]))
            before = whole[end:]
            line += whole.count(b"\n", 0, end)

    def _note_lines(self, path: Path, first: int, whole: bytes) -> bool:
        """Note the lines; False when enough are known."""
        lines = self.lines.setdefault(self._where(path), [])
        if b"\0" in whole[:_PIECE]:  # no text: lines would say nothing
            return False
        for number, line in enumerate(whole.split(b"\n"), first):
            if number not in lines and self.names.holds(line):
                lines.append(number)
                if len(lines) >= _MOST_LINES:
                    return False
        return True

    def _cells(self, path: Path, file: IO[bytes]) -> None:
        """A table's columns of users and sessions, for names that count as whole values only."""
        first = file.readline(_PIECE)
        separator, columns = _keyed_columns(first)
        number = 1
        while any(columns) and (line := file.readline(_PIECE)):
            number += 1
            cells = _cells_of(line, separator)
            keyed_cells = [cell for cell, keyed in zip(cells, columns, strict=False) if keyed]
            if any(self.names.holds_row({"user": cell}) for cell in keyed_cells):
                self._add_line(path, number)

    def _rows(self, path: Path) -> None:
        """A Parquet file, which packs every column on its own."""
        try:
            file_kind(path)
            for number, row in read_rows(path, (), lambda _bad: None):
                if self.names.holds_row(row):
                    self._add_line(path, number)
        except (Failure, ImportError) as error:
            raise Unreadable(f"is a Parquet file that cannot be read ({error})") from error

    def _members(self, path: Path, file: IO[bytes]) -> None:
        with reading(), zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if self.names.holds(member.filename.encode("utf-8", "surrogatepass")):
                    self.lines.setdefault(self._where(path), [])
                self._text(path, lambda member=member: archive.open(member))  # type: ignore[misc]

    def _add_line(self, path: Path, number: int) -> None:
        lines = self.lines.setdefault(self._where(path), [])
        if len(lines) < _MOST_LINES:
            lines.append(number)

    def _note(self, path: Path, why: str) -> None:
        self.unread[self._where(path)] = why

    def _where(self, path: Path) -> str:
        return str(path.relative_to(self.home))


def _from_start(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    return file


def _whole_words(piece: bytes) -> int:
    """How much of a piece is not a word that may go on in the next one."""
    word = _WORD.search(piece, max(len(piece) - 1024, 0))
    return word.start() if word else len(piece)


def _keyed_columns(first: bytes) -> tuple[str, list[bool]]:
    """A table's separator, and which of its columns are users or sessions, by its first line."""
    line = first.partition(b"\n")[0].removeprefix(codecs.BOM_UTF8)
    separator = max(",;\t|", key=lambda sign: line.count(sign.encode()))
    columns = [is_key(name) for name in _cells_of(line, separator)]
    return separator, columns if any(columns) else []


def _cells_of(line: bytes, separator: str) -> list[str]:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = line.decode("latin-1")
    try:
        return next(csv.reader([text], delimiter=separator), [])
    except csv.Error:  # no table
        return []
