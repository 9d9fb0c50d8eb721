"""lines.py: a text file, gzipped or not -> its lines in UTF-8, numbered.

Memory stays constant: a line above the limit is reported and passed over in pieces, never held
whole.
"""

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Final

from indexes.errors import Failure
from indexes.readers.bad_lines import BadLine, OnBad
from indexes.readers.charsets import (
    LineFeeds,
    Transcoded,
    is_utf8,
    known_encoding,
    likely_encoding,
    marked_encoding,
)
from indexes.readers.file_forms import FileForm

MAX_LINE_BYTES: Final = 8 * 1024 * 1024
_BUFFER: Final = 256 * 1024
_GZIP_MAGIC: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"
_AHEAD_LINES: Final = 500  # looked at to tell a broken line from a file in another encoding


def is_packed(path: Path) -> bool:
    """Whether the file is gzipped, by its name."""
    return path.suffix.lower() == ".gz"


def existing(path: Path) -> Path:
    """The same path; Failure where nothing is there."""
    if not path.exists():
        raise _missing(path)
    return path


def _missing(path: Path) -> Failure:
    return Failure(f"{path} does not exist.", hint="Check the path.")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked if its name ends in .gz; Failure where they cannot be read."""
    try:
        with _open(path) as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        reason = "it ends too early" if isinstance(error, EOFError) else str(error)
        raise Failure(
            f"{path} is damaged gzip ({reason}): what it holds cannot be trusted to be all.",
            hint=f"Make or copy the file again; `gzip -t {path}` says when it is whole.",
        ) from error


def _open(path: Path) -> BinaryIO:
    """The opened file, looked at before it is trusted."""
    if path.is_dir():
        raise Failure(f"{path} is a folder; a file is expected.", hint="Name the file inside it.")
    try:
        file: io.BufferedReader = io.BufferedReader(path.open("rb", buffering=0), _BUFFER)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.") from error
    packed = is_packed(path)
    start = file.peek(4)
    if packed and not start:
        file.close()
        raise Failure(f"{path} is empty, which no gzip file is.", hint="Make or copy it again.")
    if not packed and start.startswith(_GZIP_MAGIC):
        file.close()
        raise Failure(f"{path} is gzip without .gz in its name.", hint=f"Rename it to {path}.gz.")
    # GzipFile unpacks through its own slow readline; a buffer around it halves the time of a line.
    return io.BufferedReader(_Unpacked(file), _BUFFER) if packed else file


class _Unpacked(gzip.GzipFile):
    """A gzip reader that closes the file under it too."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(fileobj=file, mode="rb")
        self._under = file

    def close(self) -> None:
        super().close()
        self._under.close()


def byte_lines(
    path: Path,
    file: BinaryIO,
    on_bad: OnBad,
    form: FileForm | None = None,
    *,
    first_most: Callable[[bytes], int] = lambda start: MAX_LINE_BYTES,
) -> Iterator[tuple[int, bytes]]:
    """Every line with its number from 1, its line end still there, without a BOM, in UTF-8.

    UTF-16 and UTF-32 are known by their first bytes. A file that turns out not to be UTF-8 is read
    as what its letters show, from there on: before, there was nothing but ASCII. A line that is
    broken in a file of UTF-8 stays as it is. first_most: how long the first line may be, by what
    the file begins with: it may be a whole catalogue.
    """
    form = form or FileForm()
    file = _with_line_feeds(_decoded(file, form), form)
    lines = _numbered(file, on_bad, first_most(_peeked(file)))
    if form.encoding is not None:
        yield from lines
        return
    for number, line in lines:
        if line.isascii():
            yield number, line
            continue
        ahead = [(number, line)]
        if not _is_utf8(line):
            ahead.extend(_ahead(lines))
            encoding = _encoding_of([content for _, content in ahead])
            if encoding is not None:
                form.assume(f"encoding {encoding}, since line {number:,} is not UTF-8")
                yield from _recoded(chain(ahead, lines), encoding)
                return
        yield from ahead
        yield from lines
        return


def _ahead(lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The next lines, as many as one can judge by."""
    size = 0
    for number, line in islice(lines, _AHEAD_LINES):
        yield number, line
        size += len(line)
        if size > _BUFFER:
            return


def _numbered(file: BinaryIO, on_bad: OnBad, most: int) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(most + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(_BOM)
        if len(line) > most and not line.endswith(b"\n"):
            _pass_over(file)
            on_bad(BadLine(number, f"the line is longer than {most:,} bytes"))
        else:
            yield number, line
        most = MAX_LINE_BYTES


def _decoded(file: BinaryIO, form: FileForm) -> BinaryIO:
    """The file in UTF-8 as far as its encoding was said, or shows in its first bytes."""
    encoding = form.encoding
    if encoding is None:
        encoding = marked_encoding(_peeked(file)[:4])
        if encoding is None:
            return file
        form.assume(f"encoding {encoding}, by the first bytes")
    elif is_utf8(encoding):
        return file
    return io.BufferedReader(Transcoded(file, known_encoding(encoding)), _BUFFER)


def _with_line_feeds(file: BinaryIO, form: FileForm) -> BinaryIO:
    """The file, its line ends turned to line feeds where they are carriage returns alone."""
    start = _peeked(file)
    returns = start.count(b"\r") - start.count(b"\r\n")
    first = re.search(rb"\r?\n|\r", start)
    if first is None or first[0] != b"\r" or returns <= start.count(b"\n"):
        return file
    form.assume("line ends are carriage returns (CR)")
    return io.BufferedReader(LineFeeds(file), _BUFFER)


def _peeked(file: BinaryIO) -> bytes:
    """The first bytes of the file, which stay to be read."""
    return file.peek(_BUFFER) if isinstance(file, io.BufferedReader) else b""


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _encoding_of(lines: list[bytes]) -> str | None:
    """The encoding of lines of which the first is not UTF-8; None: it is a file of UTF-8 after all.

    Letters beyond ASCII are seldom sound UTF-8 by chance: a tenth of the lines with them says so.
    """
    beyond = [line for line in lines if not line.isascii()]
    broken = [line for line in beyond if not _is_utf8(line)]
    if len(broken) < 10 * (len(beyond) - len(broken)):
        return None
    sample = bytearray()
    for line in broken:
        sample += line
        if len(sample) > _BUFFER:
            break
    return likely_encoding(bytes(sample))


def _recoded(lines: Iterable[tuple[int, bytes]], encoding: str) -> Iterator[tuple[int, bytes]]:
    for number, line in lines:
        yield number, line if line.isascii() else line.decode(encoding, "replace").encode()


def _pass_over(file: BinaryIO) -> None:
    """Read on to the end of this line."""
    while (piece := file.readline(_BUFFER)) and not piece.endswith(b"\n"):
        pass
