"""erasure.py: names of a shopper -> the files of the home that still hold one (none, after forget).

The proof that `forget` gives: every file is read again, unpacked where it is packed, and where a
link leads out of the home, what it leads to. What cannot be read is said: it proves nothing.
"""

import csv
import io
import os
import stat
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import msgspec

from indexes.errors import Failure
from indexes.readers.rows import file_kind, read_rows
from reranker.privacy.packed_files import Unreadable, reading, unpacked
from reranker.pseudonyms.text_search import NameSearch, is_key

MOST_UNPACKED: Final = 4 << 30  # bytes of one packed file
_MOST_LINES: Final = 20  # of one file that are named
_PIECE: Final = 1 << 20
_OVERLAP: Final = 1 << 16  # longer than any name, however it is escaped
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

    def _content(self, path: Path, file: IO[bytes]) -> None:
        start = file.peek(8) if isinstance(file, io.BufferedReader) else b""
        if start.startswith(b"PAR1"):
            self._rows(path)
        elif start.startswith(b"PK\x03\x04"):
            self._members(path, file)
        else:
            with reading():
                self._pieces(path, unpacked(file, self.most))
            if self.names.short and _is_table(path):
                with reading():
                    file.seek(0)
                    self._cells(path, unpacked(file, self.most))

    def _pieces(self, path: Path, file: io.BufferedReader) -> None:
        """Piece by piece; what a piece breaks off in is the beginning of the next one."""
        before, line = b"", 1
        while piece := file.read1(_PIECE):
            whole = before + piece
            if self.names.holds(whole) and not self._found(path, line, whole):
                return
            end = max(whole.rfind(b"\n") + 1, len(whole) - _OVERLAP)
            before = whole[end:]
            line += whole.count(b"\n", 0, end)

    def _found(self, path: Path, first: int, whole: bytes) -> bool:
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
        with io.TextIOWrapper(file, "utf-8-sig", "replace", newline="") as text:
            lines = enumerate(iter(lambda: text.readline(_PIECE), ""), 1)
            _, first = next(lines, (1, ""))
            separator = max(",;\t|", key=first.count)
            columns = [is_key(name) for name in _cells_of(first, separator)]
            for number, line in lines if any(columns) else ():
                cells = _cells_of(line, separator)
                named = [cell for cell, keyed in zip(cells, columns, strict=False) if keyed]
                if any(self.names.holds_row({"user": cell}) for cell in named):
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
                with archive.open(member) as inside:
                    self._pieces(path, unpacked(inside, self.most))

    def _add_line(self, path: Path, number: int) -> None:
        lines = self.lines.setdefault(self._where(path), [])
        if len(lines) < _MOST_LINES:
            lines.append(number)

    def _note(self, path: Path, why: str) -> None:
        self.unread[self._where(path)] = why

    def _where(self, path: Path) -> str:
        return str(path.relative_to(self.home))


def _cells_of(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:  # no table
        return []


def _is_table(path: Path) -> bool:
    return any(ending in (".csv", ".tsv") for ending in path.suffixes)
