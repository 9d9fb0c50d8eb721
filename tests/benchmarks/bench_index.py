"""bench_index.py: FAISS factories -> size, error and time of looking vectors up by row.

    python tests/benchmarks/bench_index.py [--items 200000]

Ratios are against reading the same rows from a float32 array in memory, in the same run.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from indexes.items.index import build_faiss, vector_reader

DIMENSIONS = 384


def median_ms(work: Callable[[npt.NDArray[np.int64]], object], n: int, size: int) -> float:
    rng = np.random.default_rng(7)
    times = []
    for _ in range(200):
        rows = rng.integers(0, n, size)
        started = time.perf_counter()
        work(rows)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3


def private_mib() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def measure(factory: str, vectors: npt.NDArray[np.float32], folder: Path) -> None:
    n = len(vectors)
    index = build_faiss(factory, DIMENSIONS, vectors[:50_000])
    index.add(vectors)
    path = folder / "vectors.faiss"
    faiss.write_index(index, str(path))
    del index
    before = private_mib()
    started = time.perf_counter()
    mapped = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    opened = (time.perf_counter() - started) * 1e3
    private = private_mib() - before
    read = vector_reader(mapped)
    rows = np.arange(min(n, 20_000))
    found = read(rows)
    cosine = (found * vectors[rows]).sum(1) / np.linalg.norm(found, axis=1)
    base = [median_ms(lambda asked: vectors[asked], n, size) for size in (100, 1000)]
    own = [median_ms(read, n, size) for size in (100, 1000)]
    faiss_own = [median_ms(mapped.reconstruct_batch, n, size) for size in (100, 1000)]
    print(
        f"{factory:<10} {path.stat().st_size / n:>7.0f} {opened:>8.1f} {private:>8.1f} "
        f"{1 - cosine.min():>9.1e} {own[0]:>8.3f} {own[1]:>8.3f} {own[0] / base[0]:>7.1f}x "
        f"{faiss_own[0]:>8.3f} {faiss_own[1]:>8.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200_000)
    n = parser.parse_args().items
    vectors = np.random.default_rng(0).standard_normal((n, DIMENSIONS), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    faiss.omp_set_num_threads(1)
    print(f"{n:,} vectors of {DIMENSIONS} dimensions, mapped; lookups by row in ms, median of 200")
    print(
        f"{'factory':<10} {'B/item':>7} {'open ms':>8} {'priv MiB':>8} {'1-cosine':>9} "
        f"{'100':>8} {'1000':>8} {'/memory':>8} {'faiss100':>8} {'1000':>8}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for factory in ("Flat", "SQbf16", "SQfp16", "SQ8", "SQ6", "IVF256,SQ8", "HNSW32"):
            if factory != "HNSW32" or n <= 50_000:  # building HNSW takes minutes beyond that
                measure(factory, vectors, Path(folder))


if __name__ == "__main__":
    main()
