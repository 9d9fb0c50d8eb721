"""vector_files.py: a file of vectors by item id -> batches of them: Parquet, or .npy with its ids.

look.parquet                  a column of ids (`id`) and a column of lists of numbers (`vector`)
look.npy, look.ids.txt        vectors (n, d), and the id of each in a line of its own
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexes.errors import Failure
from indexes.modalities.sources import VectorSource
from indexes.modalities.writer import VectorBatch
from indexes.names import BadName, read_name
from indexes.readers.bad_lines import BadLine, OnBad
from indexes.readers.lines import existing
from indexes.readers.parquet_rows import pyarrow_modules

_BATCH: Final = 4096
_ID_COLUMNS: Final = ("id", "item", "item_id")
_VECTOR_COLUMNS: Final = ("vector", "embedding")
SUFFIXES: Final = (".parquet", ".npy")


def vector_file(path: Path) -> VectorSource:
    """The vectors of a file; Failure where it cannot be one, before all of it is read."""
    existing(path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _ParquetVectors(path)
    if suffix == ".npy":
        return _NpyVectors(path)
    raise Failure(
        f"{path} ends in {suffix or 'no suffix'!r}; allowed are {' and '.join(SUFFIXES)}.",
        hint="Write the vectors as Parquet (an `id` and a `vector` column), or as NAME.npy beside "
        "NAME.ids.txt with one id a line.",
    )


class _Files:
    """Files as they are now: their hashes, and whether they stay so."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._before = self._stats()

    def sums(self) -> list[str]:
        """SHA-256 of each."""
        return [_sha256(path) for path in self._paths]

    def check_unchanged(self) -> None:
        """Failure where one was written to since."""
        for path, before, now in zip(self._paths, self._before, self._stats(), strict=True):
            if before != now:
                raise Failure(
                    f"{path} changed while it was read. Nothing was published.",
                    hint="Run the same command again once it is written.",
                )

    def _stats(self) -> list[tuple[int, int, int]]:
        stats = [path.stat() for path in self._paths]
        return [(stat.st_size, stat.st_mtime_ns, stat.st_ino) for stat in stats]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _NpyVectors:
    """x.npy beside x.ids.txt."""

    def __init__(self, path: Path) -> None:
        self.label = str(path)
        ids = path.with_suffix(".ids.txt")
        if not ids.exists():
            raise Failure(
                f"{path} needs its ids in {ids}, which does not exist.",
                hint="Write one id a line there, in the order of the vectors.",
            )
        self._files = _Files((path, ids))
        self._vectors = _npy(path)
        self._ids = _id_lines(ids)
        if len(self._ids) != len(self._vectors):
            raise Failure(
                f"{path} has {len(self._vectors):,} vectors and {ids} {len(self._ids):,} lines; "
                "there has to be one id a vector.",
                hint="Write both files again from the same list.",
            )

    @cached_property
    def made_of(self) -> dict[str, Any]:
        vectors, ids = self._files.sums()
        return {"sha256": vectors, "ids_sha256": ids}

    def batches(self, on_bad: OnBad) -> Iterator[VectorBatch]:
        for start in range(0, len(self._vectors), _BATCH):
            part = np.asarray(self._vectors[start : start + _BATCH])
            names = self._ids[start : start + _BATCH]
            yield _named(names, part, range(start + 1, start + 1 + len(part)), on_bad)
        self._files.check_unchanged()


def _npy(path: Path) -> npt.NDArray[Any]:
    """The array, mapped: numbers alone, nothing is ever unpickled."""
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise Failure(
            f"{path} cannot be read as .npy: {error}.",
            hint="Write it with numpy.save, as a plain array of numbers.",
        ) from error
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        shape = getattr(vectors, "shape", "no shape")
        raise Failure(
            f"{path} holds {getattr(vectors, 'dtype', 'no numbers')} of shape {shape}; "
            "an array (items, dimensions) of numbers is expected.",
            hint="Write one row an item with numpy.save.",
        )
    return vectors


def _id_lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise Failure(
            f"{path} is not valid UTF-8 in line {line:,}.", hint="Write it in UTF-8."
        ) from error
    lines = text.split("\n")
    return lines[:-1] if not lines[-1] else lines


class _ParquetVectors:
    """A column of ids and a column of lists."""

    def __init__(self, path: Path) -> None:
        self.label = str(path)
        self._path, self._files = path, _Files((path,))
        self._parquet, self._arrow = pyarrow_modules(path)
        with self._opened() as table:
            schema = table.schema_arrow
            self._id, self._vector = self._columns(schema)

    @cached_property
    def made_of(self) -> dict[str, Any]:
        return {"sha256": self._files.sums()[0]}

    def batches(self, on_bad: OnBad) -> Iterator[VectorBatch]:
        number, dimensions = 1, 0
        with self._opened() as table:
            columns = [self._id, self._vector]
            try:
                for batch in table.iter_batches(batch_size=_BATCH, columns=columns):
                    names = batch.column(self._id).to_pylist()
                    cells = batch.column(self._vector)
                    dimensions = dimensions or _commonest(self._lengths(cells))
                    vectors, numbers = self._equal(cells, names, number, dimensions, on_bad)
                    if numbers:
                        kept = [names[at - number] for at in numbers]
                        yield _named(kept, vectors, numbers, on_bad)
                    number += batch.num_rows
            except (self._arrow.ArrowException, OSError) as error:
                raise self._unreadable(error) from error
        self._files.check_unchanged()

    def _equal(
        self, cells: Any, names: list[Any], first: int, dimensions: int, on_bad: OnBad
    ) -> tuple[npt.NDArray[Any], list[int]]:
        """The vectors (m, d) of the length that most have, and the number of each."""
        lengths = self._lengths(cells)
        values = cells.flatten().to_numpy(zero_copy_only=False)
        fits = (lengths > 0) & (lengths == dimensions)
        for at in np.flatnonzero(~fits).tolist():
            what = f"{lengths[at]:,} numbers" if lengths[at] else "no numbers"
            wanted = f"; the file's first have {dimensions:,}" if dimensions else ""
            on_bad(BadLine(first + at, f"the vector of {names[at]!r} has {what}{wanted}"))
        if not fits.all():
            values = values[np.repeat(fits, lengths)]
        return values.reshape(-1, max(dimensions, 1)), (first + np.flatnonzero(fits)).tolist()

    def _lengths(self, cells: Any) -> npt.NDArray[np.int64]:
        """How many numbers each cell (n,) has; 0 for a null."""
        import pyarrow.compute as compute

        counted = compute.list_value_length(cells).fill_null(0)
        return np.asarray(counted.to_numpy(zero_copy_only=False), np.int64)

    def _columns(self, schema: Any) -> tuple[str, str]:
        types = self._arrow.types

        def holds_vectors(column: Any) -> bool:
            kind = column.type
            lists = types.is_list(kind) or types.is_large_list(kind)
            if not lists and not types.is_fixed_size_list(kind):
                return False
            inner = kind.value_type
            return bool(types.is_floating(inner) or types.is_integer(inner))

        lists = [column.name for column in schema if holds_vectors(column)]
        usual = [name for name in _VECTOR_COLUMNS if name in lists]
        vector = usual[0] if usual else lists[0] if len(lists) == 1 else None
        identity = next((name for name in _ID_COLUMNS if name in schema.names), None)
        if identity is None or vector is None:
            described = ", ".join(f"{column.name!r} ({column.type})" for column in list(schema)[:8])
            raise Failure(
                f"{self._path} needs a column `id` and a column `vector` of lists of numbers; it "
                f"has {described or 'no columns'}.",
                hint="Name the columns so, and write the file again.",
            )
        return identity, vector

    def _opened(self) -> Any:
        try:
            return self._parquet.ParquetFile(self._path)
        except (self._arrow.ArrowException, OSError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> Failure:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Failure(
            f"{self._path} cannot be read as Parquet: {reason}.", hint="Write or copy it again."
        )


def _commonest(lengths: npt.NDArray[np.int64]) -> int:
    lengths = lengths[lengths > 0]
    return int(np.bincount(lengths).argmax()) if len(lengths) else 0


def _named(
    names: Sequence[Any], vectors: npt.NDArray[Any], numbers: Sequence[int], on_bad: OnBad
) -> VectorBatch:
    """A batch of those whose id can be one."""
    ids: list[str] = []
    kept: list[int] = []
    for at, value in enumerate(names):
        try:
            name = read_name("id", value)
        except BadName as reason:
            on_bad(BadLine(numbers[at], str(reason)))
            continue
        if name is None:
            on_bad(BadLine(numbers[at], "id is empty"))
            continue
        ids.append(name)
        kept.append(at)
    if len(kept) == len(names):
        return VectorBatch(ids, vectors, numbers)
    return VectorBatch(ids, vectors[kept], [numbers[at] for at in kept])
