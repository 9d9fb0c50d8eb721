"""bench_item_vectors.py: a file of vectors by item id -> how long it takes to join, and to read.

    python tests/benchmarks/bench_item_vectors.py --items 100000 --dimensions 512

Each kind of file is joined in a process of its own: seconds, and the most memory of its own (mapped
files are the page cache's) beyond what the process had before. Then 100 candidates are held against
20 items met, as `looks` does.
"""

import argparse
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from indexes.items.columns import ItemIds, save_ids
from indexes.modalities.entries import Entry
from indexes.modalities.vector_files import vector_file
from indexes.modalities.vectors import ModalityVectors
from indexes.modalities.writer import write_modality
from indexes.readers.bad_lines import BadLines
from indexes.storage import arrays
from reranker.signals.looks import look_nearness


def ids_folder(folder: Path, ids: Sequence[str]) -> Path:
    """The id columns of an index of these items."""
    folder.mkdir()
    encoded = [item.encode() for item in ids]
    (folder / "ids.bin").write_bytes(b"".join(encoded))
    arrays.save(folder / "ids.at.npy", arrays.offsets([len(item) for item in encoded]))
    save_ids(folder, np.array([xxhash.xxh3_64_intdigest(item) for item in encoded], np.uint64))
    return folder


def vector_files(folder: Path, ids: Sequence[str], dimensions: int) -> dict[str, Path]:
    """The same vectors in both kinds of file."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    vectors = np.random.default_rng(1).normal(size=(len(ids), dimensions)).astype(np.float32)
    np.save(folder / "look.npy", vectors)
    (folder / "look.ids.txt").write_text("\n".join(ids) + "\n")
    cells = pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), dimensions)
    parquet.write_table(pa.table({"id": ids, "vector": cells}), folder / "look.parquet")
    return {"npy": folder / "look.npy", "Parquet": folder / "look.parquet"}


class OwnMemory:
    """The most memory of its own (RssAnon: without mapped files) that this process has, in MB."""

    def __init__(self) -> None:
        self.most, self._done = self._now(), threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.most = max(self.most, self._now())

    @staticmethod
    def _now() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def join(file: Path, ids: Path, out: Path) -> tuple[Entry, float, float]:
    """The modality's entry, seconds, and MB."""
    source, rows = vector_file(file), ItemIds(ids)
    bad = BadLines(file)
    memory = OwnMemory()
    before, started = memory.most, time.perf_counter()
    made_of = source.made_of
    written = write_modality(out, len(rows), rows.rows, source.batches(bad.add), bad.add)
    seconds = time.perf_counter() - started
    assert not bad.count
    entry = Entry(made_of=made_of, dimensions=written.dimensions, items=written.items)
    return entry, seconds, memory.most - before


def looked_up(modality: ModalityVectors, items: int) -> float:
    """Median microseconds of one request: 100 candidates, 20 items met."""
    drawn, seconds = np.random.default_rng(2), []
    met = drawn.choice(items, 20, replace=False)
    for _ in range(300):
        rows = drawn.choice(items, 100, replace=False)
        started = time.perf_counter()
        look_nearness([modality], rows, met)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=512)
    asked = parser.parse_args()
    ids = [f"item-{number}" for number in range(asked.items)]
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, Any] = vector_files(Path(folder), ids, asked.dimensions)
        index = ids_folder(Path(folder) / "index", ids)
        for kind, file in files.items():
            out = Path(folder) / f"joined-{kind}"
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                entry, seconds, megabytes = pool.apply(join, (file, index, out))
            size = sum(part.stat().st_size for part in out.iterdir()) / 1e6
            print(
                f"{kind}: {entry.items:,} vectors of {entry.dimensions} from "
                f"{file.stat().st_size / 1e6:,.0f} MB joined in {seconds:.1f} s, "
                f"{megabytes:,.0f} MB of memory, {size:,.0f} MB in the version"
            )
        modality = ModalityVectors(out, "look", entry)
        print(f"looks, 100 candidates, 20 items met: {looked_up(modality, asked.items):,.0f} us")


if __name__ == "__main__":
    main()
