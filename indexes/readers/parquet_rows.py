"""parquet_rows.py: a Parquet file -> its rows as dicts of plain values, numbered from 1."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

from indexes.errors import Failure
from indexes.readers.bad_lines import BadLine, OnBad
from indexes.readers.file_forms import FileForm, Row
from indexes.readers.lines import is_packed

_BATCH: Final = 1024
_PIECE: Final = 1024 * 1024
_ROOM_LEFT: Final = 256 * 1024 * 1024  # of the temporary folder's disk


def parquet_rows(
    path: Path, file: BinaryIO, required: Sequence[str], on_bad: OnBad, form: FileForm
) -> Iterator[tuple[int, Row]]:
    """Rows without their nulls, a batch in memory at a time."""
    parquet, arrow = pyarrow_modules(path)
    with _seekable(path, file) as seekable:
        try:
            table = parquet.ParquetFile(seekable)
            names = table.schema_arrow.names
            missing = form.missing(required, names)
            if missing:
                raise Failure(
                    f"{path} has no column {', '.join(map(repr, missing))}; it has "
                    f"{', '.join(map(repr, names[:12]))}."
                )
            renamed = form.renamed(required, names)
            number = 0
            for batch in table.iter_batches(batch_size=_BATCH):
                batch = _microseconds(batch, arrow).rename_columns(renamed)
                yield from _plain_rows(batch, number, on_bad)
                number += batch.num_rows
        except (arrow.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise Failure(f"{path} cannot be read as Parquet: {reason}") from error


def pyarrow_modules(path: Path) -> tuple[Any, Any]:
    """`pyarrow.parquet` and `pyarrow`; Failure names the extra where they are not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise Failure(
            f"{path} is Parquet, which needs the package pyarrow.",
            hint="Run `pip install 'shop-reranker[parquet]'`.",
        ) from None
    return pyarrow.parquet, pyarrow


def _seekable(path: Path, file: BinaryIO) -> IO[bytes]:
    """Parquet is read from its end: a gzipped one is unpacked into a temporary file first."""
    if not is_packed(path):
        return file
    unpacked = tempfile.TemporaryFile()
    try:
        _copy(path, file, unpacked)
    except BaseException as error:
        unpacked.close()
        if isinstance(error, OSError) and error.errno:
            raise Failure(
                f"{path} cannot be unpacked into {tempfile.gettempdir()}: {error.strerror}.",
                hint="Make room there, or set TMPDIR to another folder.",
            ) from error
        raise
    unpacked.seek(0)
    return unpacked


def _copy(path: Path, file: BinaryIO, to: IO[bytes]) -> None:
    """Unpack as much as leaves room on the disk: kilobytes of gzip can stand for terabytes."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    while piece := file.read(_PIECE):
        free -= len(piece)
        if free < _ROOM_LEFT:
            raise Failure(
                f"{path} unpacks to more than {tempfile.gettempdir()} has room for.",
                hint="Make room there, set TMPDIR to another folder, or unpack the file yourself.",
            )
        to.write(piece)


def _microseconds(batch: Any, arrow: Any) -> Any:
    """Python's datetimes hold no nanoseconds."""
    fields = [
        field.with_type(arrow.timestamp("us", tz=field.type.tz))
        if arrow.types.is_timestamp(field.type) and field.type.unit == "ns"
        else field
        for field in batch.schema
    ]
    return batch.cast(arrow.schema(fields), safe=False)


def _plain_rows(batch: Any, before: int, on_bad: OnBad) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        rows: list[Any] = batch.to_pylist(maps_as_pydicts="lossy")
    except ValueError:  # one cell of the batch, so look at each row
        rows = [_row(batch, at) for at in range(batch.num_rows)]
    for number, row in enumerate(rows, before + 1):
        if isinstance(row, str):
            on_bad(BadLine(number, row))
        else:
            yield number, {name: _plain(cell) for name, cell in row.items() if _is_present(cell)}


def _row(batch: Any, at: int) -> dict[str, Any] | str:
    try:
        row: dict[str, Any] = batch.slice(at, 1).to_pylist(maps_as_pydicts="lossy")[0]
    except UnicodeDecodeError:
        return "a cell is not valid UTF-8"
    except ValueError as error:
        return f"a cell cannot be read: {error}"
    return row


def _is_present(cell: Any) -> bool:
    """Neither null nor NaN, which data frames write for a missing value."""
    return cell is not None and cell == cell


def _plain(cell: Any) -> Any:
    """The value as JSON would hold it; times stay times."""
    if isinstance(cell, str | bool | int | float | datetime):
        return cell
    if isinstance(cell, dict):
        return {str(name): _plain(value) for name, value in cell.items() if _is_present(value)}
    if isinstance(cell, list | tuple):
        return [_plain(value) for value in cell if _is_present(value)]
    if isinstance(cell, Decimal):
        return float(cell)
    if isinstance(cell, bytes):
        return cell.decode(errors="replace")
    if isinstance(cell, date):
        return cell.isoformat()
    return str(cell)
