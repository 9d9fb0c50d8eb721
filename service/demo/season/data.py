"""data.py: a seed -> the demo shop's files: items, pictures, events, requests, the truth."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from indexes.progress import Progress, silent
from indexes.storage.durable import write_lines, write_whole
from service.demo.season.judged import hold_out, request_lines, truth_lines, without_future
from service.demo.season.logs import make_season
from service.demo.shop.pictures import write_pictures
from service.page.parts.request_sets import EVENTS, ITEMS, ORACLE, REQUESTS

SEED = 20_261_101

RANKINGS = "rankings.jsonl.gz"
FILES = (ITEMS, EVENTS, RANKINGS, REQUESTS, ORACLE)
IMAGES = "images"  # where items.image_folder looks by default
_STAMP = "made.json"


class Size(msgspec.Struct, frozen=True):
    """How big a shop: items of each kind, people with and without a user id, judged requests."""

    per_kind: int = 36
    users: int = 3_000
    visitors: int = 600
    requests: int = 640


FULL = Size()
SMALL = Size(per_kind=4, users=400, visitors=80, requests=80)


class Made(msgspec.Struct, frozen=True):
    """The stamp beside the files: from what they were made, and their sizes and checksums."""

    generator: str  # fingerprint of the code that made them
    seed: int
    size: Size
    lines: dict[str, int]
    sha256: dict[str, str]
    pictures: str  # sha256 of all of them


def write_shop(
    folder: Path, size: Size = FULL, seed: int = SEED, progress: Progress = silent
) -> Made:
    """Write the files, the pictures and a stamp; nothing is done where all is there already."""
    before = _already(folder, seed, size)
    if before is not None:
        return before
    (folder / _STAMP).unlink(missing_ok=True)
    with progress("shop", 8) as advance:
        season, rng = make_season(
            seed, per_kind=size.per_kind, users=size.users, visitors=size.visitors
        )
        advance(2)
        held = hold_out(rng, season, size.requests)
        log = without_future(season, held)
        lines: dict[str, Iterable[Any]] = {
            ITEMS: season.shop.lines(),
            EVENTS: season.event_records(log),
            RANKINGS: season.ranking_records(log),
            REQUESTS: request_lines(season, held, log),
            ORACLE: truth_lines(season, held, log),
        }
        written = {}
        for name, listed in lines.items():
            written[name] = _write(folder / name, listed)
            advance(1)
        write_pictures(folder / IMAGES, season.shop.ids, season.shop.facts)
        advance(1)
    sums = {name: _hash(folder / name) for name in FILES}
    stamp = Made(_generator(), seed, size, written, sums, _hash_all(folder / IMAGES))
    write_whole(folder / _STAMP, msgspec.json.format(msgspec.json.encode(stamp)) + b"\n")
    return stamp


def _write(path: Path, lines: Iterable[Any]) -> int:
    listed = list(lines)
    write_lines(path, listed)
    return len(listed)


def _generator() -> str:
    """Changes with the code and the words of the shop, so that no stale shop is kept."""
    here = Path(__file__).parents[1]
    code = [*here.rglob("*.py"), *here.rglob("*.toml")]
    sources = sorted(code, key=lambda path: path.relative_to(here).as_posix())
    return hashlib.sha256(b"\n".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _already(folder: Path, seed: int, size: Size) -> Made | None:
    """The stamp, where it is of this seed, size and generator and the files are as it says."""
    try:
        stamp = msgspec.json.decode((folder / _STAMP).read_bytes(), type=Made)
        same = (stamp.generator, stamp.seed, stamp.size) == (_generator(), seed, size)
        whole = same and all(_hash(folder / name) == stamp.sha256.get(name) for name in FILES)
        whole = whole and _hash_all(folder / IMAGES) == stamp.pictures
    except (OSError, msgspec.MsgspecError):
        return None
    return stamp if whole else None


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _hash_all(folder: Path) -> str:
    files = sorted(folder.iterdir())
    return hashlib.sha256(b"\n".join(path.read_bytes() for path in files)).hexdigest()
