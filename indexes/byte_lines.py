"""byte_lines.py: a text file, gzipped or not -> its lines, numbered; over-long ones are reported.

Memory stays constant: a line above the limit is passed over in pieces, never held whole.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from indexes.bad_lines import BadLine, OnBad
from indexes.errors import Failure

MAX_LINE_BYTES: Final = 8 * 1024 * 1024
_BUFFER: Final = 256 * 1024
_GZIP_MAGIC: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


def is_packed(path: Path) -> bool:
    """Whether the file is gzipped, by its name."""
    return path.suffix.lower() == ".gz"


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
        file = path.open("rb")
    except FileNotFoundError:
        raise Failure(f"{path} does not exist.", hint="Check the path.") from None
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


def byte_lines(path: Path, file: BinaryIO, on_bad: OnBad) -> Iterator[tuple[int, bytes]]:
    """Every line with its number from 1, its line end still there, without a BOM."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number == 1:
            line = _first(path, line)
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            _pass_over(file)
            on_bad(BadLine(number, f"the line is longer than {MAX_LINE_BYTES:,} bytes"))
            continue
        yield number, line


def _first(path: Path, line: bytes) -> bytes:
    if line.startswith(_UTF16):
        raise Failure(f"{path} is UTF-16; UTF-8 is expected.", hint="Save it again as UTF-8.")
    return line.removeprefix(_BOM)


def _pass_over(file: BinaryIO) -> None:
    """Read on to the end of this line."""
    while (piece := file.readline(_BUFFER)) and not piece.endswith(b"\n"):
        pass
