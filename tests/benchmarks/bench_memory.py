"""bench_memory.py: a worker that a thousand shoppers searched in -> the memory that is its own.

    python tests/benchmarks/bench_memory.py [--home DIR]

Private dirty bytes of the worker, of /proc/PID/smaps_rollup: what it has written to and shares with
nobody. Once it serves, after every shopper (50 events each) has asked for 100 candidates, and how
much of that came with a shopper. Mapped files are not counted: every worker reads the same pages.
Without --home the small demo shop is made and a model trained on it for a minute.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from bench_personal import made
from bench_serving import QUERIES, Server, drive, posts, queries, shop_of, started

CANDIDATES = 100
FEW = 50  # requests after which everything that all shoppers share was asked for once


def own_mib(server: Server) -> float:
    """Private dirty MiB of the worker."""
    children = Path(f"/proc/{server.master}/task/{server.master}/children").read_text().split()
    kilobytes = 0
    for child in children:
        lines = Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))
    return kilobytes / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    cores = set(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        home = given.home or made(Path(folder))
        shop = shop_of(home)
        program = [str(Path(sys.executable).parent / "reranker"), "--home", str(home), "serve"]
        sent = posts(shop, CANDIDATES, queries(QUERIES, seed=1))
        with started([*program, "--port", "0", "--workers", "1"], cores) as served:
            ready = own_mib(served)
            few = [request for request in sent[:FEW] for _ in range(20)]
            drive(served, few, 0.1, at_least=len(few))
            warm = own_mib(served)
            for _ in range(3):
                drive(served, sent, 0.1, at_least=len(sent))
            all_of_them = own_mib(served)
    shoppers = len(shop.users) - FEW
    print(f"ready                  {ready:6.0f} MiB of the worker's own")
    print(f"{FEW:>5} shoppers         {warm:6.0f} MiB")
    print(f"{len(shop.users):>5,} shoppers         {all_of_them:6.0f} MiB", end="")
    if shop.users:
        print(f": {(all_of_them - warm) * 1024 / shoppers:.1f} KiB more a shopper")


if __name__ == "__main__":
    main()
