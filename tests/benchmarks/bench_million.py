"""bench_million.py: a large catalogue -> how soon a worker is ready, and what memory is its own.

    python tests/benchmarks/bench_million.py [--items 1000000] [--keep DIR]

Vectors are random, so nothing is encoded; everything else is the real thing: columns, FAISS file,
manifest, verification, and a fresh process that opens it and re-ranks 100 candidates. The same is
done for a hundredth of the items, so that what grows shows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np

from indexes.encoders.query_encoder import export_query_encoder
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import load_encoder
from indexes.items.columns import FORMAT, ColumnsWriter, id_hash
from indexes.items.index import ENCODER_FOLDER, VECTORS_FILE, build_faiss
from indexes.items.records import Item
from indexes.storage.versions import VersionStore

_WORKER = """
import json, sys, time
from pathlib import Path
import numpy as np
import service.app
from indexes.workspace import Workspace
from reranker.ranking.ranking import rerank
from reranker.requests import Candidate, RerankRequest
from reranker.ranking.state import load_state
from threadpoolctl import threadpool_limits

threadpool_limits(1, "blas")  # as in a worker

def own_mib():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024

before, started = own_mib(), time.perf_counter()
state = load_state(Workspace(Path(sys.argv[1])))
ready = time.perf_counter() - started
n, rng, times = len(state.index), np.random.default_rng(1), []
for _ in range(300):
    chosen = rng.choice(n, 100, replace=False)
    sent = [Candidate(f"item-{i}", float(-place)) for place, i in enumerate(chosen)]
    request = RerankRequest(sent, query="red shoes 42")
    begun = time.perf_counter()
    rerank(request, state)
    times.append((time.perf_counter() - begun) * 1e3)
p50, p99 = np.quantile(times, [0.5, 0.99]).tolist()
grown = own_mib() - before
print(json.dumps({"ready_s": ready, "private_mib": grown, "p50_ms": p50, "p99_ms": p99}))
"""


def build(home: Path, items: int) -> float:
    """Publish an index of random vectors; returns its bytes an item."""
    rng = np.random.default_rng(0)
    store = VersionStore(home / "index")
    with store.stage() as staged:
        writer = ColumnsWriter(staged)
        colours, things = (
            ["red", "blue", "green", "black"],
            ["shoes", "lamp", "tent", "mug", "sofa"],
        )
        for i in range(items):
            title = f"{colours[i % 4]} {things[i % 5]} model {i % 977} size {i % 50}"
            item = Item(id=f"item-{i}", title=title, brand=f"brand {i % 300}", price=i % 100 + 0.99)
            writer.add(item, id_hash(item.id))
        writer.finish()
        index = build_faiss("SQbf16", 384, np.zeros((1, 384), dtype=np.float32))
        for start in range(0, items, 50_000):
            part = rng.standard_normal((min(50_000, items - start), 384), dtype=np.float32)
            index.add(part / np.linalg.norm(part, axis=1, keepdims=True))
        faiss.write_index(index, str(staged / VECTORS_FILE))
        del index
        (staged / ENCODER_FOLDER).mkdir()
        encoder = load_encoder(EncoderSettings())
        export_query_encoder(encoder, staged / ENCODER_FOLDER)
        size = sum(path.stat().st_size for path in staged.iterdir() if path.is_file())
        about = {
            "items": items,
            "fingerprint": encoder.fingerprint,
            "factory": "SQbf16",
            "format": FORMAT,
        }
        store.publish(staged, about)
    return size / items


def worker(home: Path) -> dict[str, float]:
    """One fresh process, as a worker starts: the version was verified before, by its parent."""
    store = VersionStore(home / "index")
    version = store.current()
    assert version is not None
    store.ensure_verified(version)
    done = subprocess.run(
        [sys.executable, "-c", _WORKER, str(home)], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="leave the large home here, and reuse it")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for items, home in (
            (chosen.items // 100, Path(folder) / "small"),
            (chosen.items, chosen.keep or Path(folder) / "large"),
        ):
            started = time.perf_counter()
            size = 0.0 if (home / "index/current").exists() else build(home, items)
            rows.append(worker(home))
            print(
                f"{items:>10,} items: ready {rows[-1]['ready_s']:.2f} s after its imports, "
                f"own memory {rows[-1]['private_mib']:.0f} MiB, re-ranking 100 candidates "
                f"p50 {rows[-1]['p50_ms']:.2f} ms p99 {rows[-1]['p99_ms']:.2f} ms, "
                f"{size:.0f} bytes an item on disk (built in {time.perf_counter() - started:.0f} s)"
            )
        small, large = rows
        print(
            f"ratio large/small: ready {large['ready_s'] / small['ready_s']:.2f}, "
            f"own memory {large['private_mib'] / small['private_mib']:.2f}, "
            f"p50 {large['p50_ms'] / small['p50_ms']:.2f}"
        )


if __name__ == "__main__":
    main()
