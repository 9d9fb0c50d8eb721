"""figures.py: what the commands below measure -> docs/figures.json -> marked blocks of the pages.

    make figures                                                      # all of them: an hour
    PYTHONPATH=tests .venv/bin/python -m support.figures index demo   # these alone
    PYTHONPATH=tests .venv/bin/python -m support.figures --write      # none; the blocks anew

A figure that is not measured keeps its number and its date. Those of data that is not in the
repository are kept by hand, in figures.json alone.
"""

import argparse
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from support.figure_blocks import BLOCKS, Figures
from support.paths import ROOT

RESULTS = ROOT / "docs" / "figures.json"
_N = r"[-\d.e]+"
_NDCG = (
    r'"queries":(?P<queries>\d+)',
    rf'"engine":{{"ndcg@10":(?P<engine>{_N})',
    rf'"default@\d":{{"ndcg@10":(?P<blend>{_N})',
    rf'"difference":{{"ndcg@10":{{"mean":(?P<mean>{_N}),"low":(?P<low>{_N}),"high":(?P<high>{_N})',
)


class Measurement(NamedTuple):
    """A command as the pages name it, and the patterns whose named groups are its values."""

    command: str
    patterns: tuple[str, ...]


def evaluate(blend: str) -> Measurement:
    source = "--requests var/demo/data/requests.jsonl.gz"
    return Measurement(
        f".venv/bin/reranker --home var/demo evaluate {source} --blend {blend} --json",
        _NDCG,
    )


def bench(name: str, *patterns: str, options: str = "") -> Measurement:
    return Measurement(f".venv/bin/python tests/benchmarks/bench_{name}.py{options}", patterns)


MEASURED = {
    "demo_default": evaluate("default@1"),
    "demo_counts": evaluate("default@2"),
    "encoders": bench(
        "encoders",
        r"ratio: (?P<faster>[\d.]+) of the best times",
        r"ratio: (?P<processor>[\d.]+) of processor time",
        r"one query, sentence-transformers +p50 (?P<query_peer_ms>[\d.]+) ms",
        r"one query, ours, 1 thread +p50 (?P<query_ms>[\d.]+) ms",
    ),
    "peers": bench(
        "peers",
        r"reranker, all signals, 50 events.*?(?P<seen_ms>[\d.]+) ms",
        r"a query not seen before.*?(?P<unseen_ms>[\d.]+) ms",
        r"encode the query, multiply.*?(?P<multiply_ms>[\d,.]+) ms",
        r"cross-encoder, rerankers.*?(?P<cross_ms>[\d,.]+) ms",
    ),
    "million": bench(
        "million",
        r"1,000,000 items: ready (?P<ready_s>[\d.]+) s .* own memory (?P<own_mib>\d+) MiB, .* "
        r"p50 (?P<p50_ms>[\d.]+) ms p99 (?P<p99_ms>[\d.]+) ms, (?P<bytes>\d+) bytes",
        r" 10,000 items: ready (?P<small_ready_s>[\d.]+) s .* own memory (?P<small_own_mib>\d+) "
        r"MiB, .* p50 (?P<small_p50_ms>[\d.]+) ms p99 (?P<small_p99_ms>[\d.]+) ms, "
        r"(?P<small_bytes>\d+) bytes",
    ),
    "serving": bench(
        "serving",
        r" 100 candidates: .*\n +ratio (?P<hundred>[\d.]+)",
        r" 1000 candidates: .*\n +ratio (?P<thousand>[\d.]+)",
        options=" --home var/demo",
    ),
    "index": bench("index", r"SQbf16 +\S+ +\S+ +\S+ +\S+ +(?P<hundred_ms>[\d.]+)"),
}


def measured(what: Measurement) -> dict[str, list[float]]:
    """Run the command; its values, each a list of one number."""
    command = shlex.split(what.command)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{what.command} failed:\n{done.stderr[-2000:]}")
    return values_of(done.stdout, what.patterns)


def values_of(output: str, patterns: tuple[str, ...]) -> dict[str, list[float]]:
    """The named groups of each pattern's first match; SystemExit where there is none."""
    found: dict[str, list[float]] = {}
    for pattern in patterns:
        match = re.search(pattern, output)
        if match is None:
            raise SystemExit(f"the output has nothing like {pattern!r}:\n{output[-2000:]}")
        for name, text in match.groupdict().items():
            found[name] = [float(text.replace(",", ""))]
    return found


def read(path: Path = RESULTS) -> Figures:
    return msgspec.json.decode(path.read_bytes(), type=Figures)


def write(figures: Figures, path: Path = RESULTS) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")


def filled(page: str, text: str, figures: Figures) -> str:
    """A page with each of its marked blocks as the figures render it."""
    for name, render in BLOCKS[page].items():
        start, end = f"<!-- figures: {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        if not rest or not _:
            raise SystemExit(f"{page} has no block {name!r}: {start.strip()} ... {end}")
        text = f"{before}{start}{render(figures)}\n{end}{after}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MEASURED, []], help="default: all")
    parser.add_argument("--write", action="store_true", help="only write the blocks")
    given = parser.parse_args()
    figures = read()
    for name in () if given.write else given.names or MEASURED:
        sys.stdout.write(f"{name}: {MEASURED[name].command}\n")
        values = measured(MEASURED[name])
        figures[name] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "values": values}
        write(figures)
    for page in BLOCKS:
        path = ROOT / page
        path.write_text(filled(page, path.read_text(), figures))


if __name__ == "__main__":
    main()
