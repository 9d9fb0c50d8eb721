"""bench_rebuild.py: a rebuild of many items, their vectors given -> seconds, bytes, memory.

    python tests/benchmarks/bench_rebuild.py [--items 200000] [--factory SQ8] [--folder DIR]

Vectors of 384 numbers, random around 64 centres. The vectors given take 784 bytes an item in
DIR, the published version some 1,100 with SQ8; inverted lists need theirs once more meanwhile.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.large_rebuilds import measured_rebuild


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--factory", default="SQ8")
    parser.add_argument("--folder", type=Path, help="where it is done, and left")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = chosen.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        summary = measured_rebuild(folder, chosen.items, chosen.factory)
    items, size = summary["items"], summary["bytes"]
    print(
        f"{items:,} items, {chosen.factory}: {summary['seconds']:,.0f} s, "
        f"{summary['encoded']} encoded, {size / 1e9:.2f} GB published ({size / items:,.0f} bytes "
        f"an item); at most {summary['own_mib']:,.0f} MiB of its own, "
        f"{summary['resident_mib']:,.0f} MiB with mapped files"
    )


if __name__ == "__main__":
    main()
