"""A catalogue of any size with its vectors given -> a rebuild in a process of its own, measured."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from support.tiny_models import tiny_bert

_REBUILD = """
import sys
from pathlib import Path
import msgspec
import numpy as np
from indexes.build.rebuild import rebuild
from indexes.build.settings import RebuildSettings
from indexes.build.vector_cache import DIGEST, VectorCache
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import load_encoder
from indexes.items.records import Item
from indexes.items.settings import IndexSettings
from indexes.items.text import ItemText, text_digest, vectors_key
from indexes.progress import silent
from indexes.workspace import Workspace

home, items, model, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
settings = EncoderSettings(model=model, threads=1)
encoder = load_encoder(settings)
template = ItemText(RebuildSettings().template)
rng = np.random.default_rng(1)
key = vectors_key(encoder.fingerprint, RebuildSettings().template)
path = home / "index" / "vectors" / f"{key}.bin"
centres = rng.standard_normal((64, encoder.dimensions), np.float32)
if not path.exists():
    with VectorCache(path) as cache:
        for start in range(0, count, 8192):
            texts = [template.render(Item(f"item {n}", f"title {n}"))
                     for n in range(start, min(start + 8192, count))]
            digests = np.array([text_digest(text) for text in texts], dtype=DIGEST)
            vectors = rng.random((len(texts), encoder.dimensions), np.float32) * 4 - 2
            vectors += centres[rng.integers(0, 64, len(texts))]
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            cache.append(digests, vectors)
print("ready", flush=True)
sys.stdin.readline()
sections = {EncoderSettings: settings, IndexSettings: IndexSettings(factory=sys.argv[5])}
summary = rebuild(Workspace(home, sections), items, progress=silent)
print(msgspec.json.encode(summary).decode(), flush=True)
"""


def measured_rebuild(folder: Path, count: int, factory: str) -> dict[str, Any]:
    """What a rebuild of so many items says, with `own_mib`, the most memory of its own at any time
    as the kernel counts it, `resident_mib`, the same with the mapped files, and `bytes` published.
    """
    wide = tiny_bert(folder / "model", words=["title", "item"], hidden=384)
    items = folder / "items.jsonl"
    with items.open("w") as file:
        file.writelines(f'{{"id":"item {n}","title":"title {n}"}}\n' for n in range(count))
    home = folder / "home"
    args = [sys.executable, "-c", _REBUILD, str(home), str(items), str(wide), str(count), factory]
    own = resident = 0
    with subprocess.Popen(
        args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("\n")
        process.stdin.close()
        while process.poll() is None:
            told = _memory(process.pid)
            own, resident = max(own, told.get("RssAnon", 0)), max(resident, told.get("VmRSS", 0))
            time.sleep(0.05)
        summary: dict[str, Any] = json.loads(process.stdout.read())
    published = (home / "index" / "current").resolve()
    size = sum(path.stat().st_size for path in published.rglob("*") if path.is_file())
    return summary | {"own_mib": own / 1024, "resident_mib": resident / 1024, "bytes": size}


def _memory(pid: int) -> dict[str, int]:
    """KiB by name."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {
        line.split(":")[0]: int(line.split()[1])
        for line in lines
        if line.startswith(("Rss", "VmR"))
    }
