"""data.py: a seed -> the demo shop's files: items, events, requests, and the hidden truth."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from service.demo.files import write_lines, write_whole
from service.demo.judged import hold_out, request_lines, truth_lines, without_future
from service.demo.logs import make_season

GENERATOR = 1  # raise it whenever the same seed gives other files
SEED = 20_261_101

ITEMS, EVENTS = "items.jsonl.gz", "events.jsonl.gz"
REQUESTS, ORACLE = "requests.jsonl.gz", "oracle.jsonl.gz"
FILES = (ITEMS, EVENTS, REQUESTS, ORACLE)
_STAMP = "made.json"


class Made(msgspec.Struct, frozen=True):
    """The stamp beside the files: from what they were made, and their sizes and checksums."""

    generator: int
    seed: int
    size: dict[str, int]  # how big a shop was asked for
    lines: dict[str, int]
    sha256: dict[str, str]


def write_shop(
    folder: Path,
    seed: int = SEED,
    *,
    per_kind: int = 43,
    users: int = 3_000,
    visitors: int = 600,
    requests: int = 640,
) -> Made:
    """Write the four files and their stamp; nothing is done where they are there already."""
    size = {"per_kind": per_kind, "users": users, "visitors": visitors, "requests": requests}
    there = _already(folder, seed, size)
    if there is not None:
        return there
    (folder / _STAMP).unlink(missing_ok=True)
    season, rng = make_season(seed, per_kind=per_kind, users=users, visitors=visitors)
    held = hold_out(rng, season, requests)
    log = without_future(season, held)
    written = {
        ITEMS: _write(folder / ITEMS, season.shop.lines()),
        EVENTS: _write(folder / EVENTS, season.event_records(log)),
        REQUESTS: _write(folder / REQUESTS, request_lines(season, held, log)),
        ORACLE: _write(folder / ORACLE, truth_lines(season, held, log)),
    }
    made = Made(GENERATOR, seed, size, written, {name: _hash(folder / name) for name in FILES})
    write_whole(folder / _STAMP, msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    return made


def _write(path: Path, lines: Iterable[Any]) -> int:
    listed = list(lines)
    write_lines(path, listed)
    return len(listed)


def _already(folder: Path, seed: int, size: dict[str, int]) -> Made | None:
    """The stamp, where it is of this seed, size and generator and the files are as it says."""
    try:
        made = msgspec.json.decode((folder / _STAMP).read_bytes(), type=Made)
        same = (made.generator, made.seed, made.size) == (GENERATOR, seed, size)
        whole = same and all(_hash(folder / name) == made.sha256.get(name) for name in FILES)
    except (OSError, msgspec.MsgspecError):
        return None
    return made if whole else None


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
