"""shadow_files.py: <home>/blends/shadow.json, <home>/shadows -> which blends rank unseen, and how.

A line of <home>/shadows/2026-11-23.jsonl holds a ranking's id and orders as places in the engine's
list: no shopper, no query and no item. The limits of the log of rankings hold for it, too.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec

from indexes.errors import Failure
from indexes.storage import durable
from indexes.workspace import Workspace
from reranker.feedback.days import append_lines, day_file, day_lines, logged_days
from reranker.feedback.files import make_room
from reranker.feedback.settings import RankingLogSettings

MOST_SHADOWS: Final = 4
_FILE: Final = "shadow.json"
_FOLDER: Final = "shadows"
_LONGEST: Final = 100  # places of an order that are kept


class ShadowChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """blends: `name@version` each. share: of the requests that they rank, too."""

    blends: Annotated[list[str], msgspec.Meta(max_length=MOST_SHADOWS)] = []
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1


class ShadowLine(msgspec.Struct, frozen=True):
    """One ranking beside its shadows. candidates: how many there were. orders: by blend, the first
    places in the engine's list, from 0; served: what was answered."""

    id: str
    time: float
    blend: str
    candidates: int
    served: list[int]
    orders: dict[str, list[int]]


def shadow_choice(home: Path) -> ShadowChoice:
    """Which blends rank unseen; none where nothing is chosen. Failure when the file is broken."""
    path = home / "blends" / _FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=ShadowChoice)
    except FileNotFoundError:
        return ShadowChoice()
    except msgspec.DecodeError as error:
        raise Failure(
            f"{path} is broken: {error}.", hint="Run `reranker blends shadow --off`."
        ) from None


def choose_shadows(home: Path, choice: ShadowChoice) -> None:
    """Keep the choice; a running service takes it up within a second."""
    durable.replace_synced(home / "blends" / _FILE, msgspec.json.encode(choice))


def choice_stamp(home: Path) -> int:
    """Changes when the choice does."""
    try:
        return (home / "blends" / _FILE).stat().st_mtime_ns
    except OSError:
        return 0


def shadows_folder(home: Path) -> Path:
    """Where shadow rankings are logged."""
    return home / _FOLDER


def write_shadow(home: Path, settings: RankingLogSettings, line: ShadowLine) -> None:
    """Append one line; OSError when it cannot be."""
    if not settings.log:
        return
    folder = shadows_folder(home)
    durable.make_own_folder(folder)
    cut = {name: order[:_LONGEST] for name, order in line.orders.items()}
    line = msgspec.structs.replace(line, served=line.served[:_LONGEST], orders=cut)
    data = msgspec.json.encode(line) + b"\n"
    path = day_file(folder, datetime.fromtimestamp(line.time, UTC).date().isoformat())
    if not make_room(folder, settings, path, len(data)):
        raise OSError(f"{folder}: rankings.megabytes is reached within a day")
    append_lines(path, data)


def read_shadows(workspace: Workspace, since: float = 0.0) -> Iterator[ShadowLine]:
    """Every sound line, oldest day first."""
    decode = msgspec.json.Decoder(ShadowLine).decode
    for _, path in logged_days(shadows_folder(workspace.home)):
        for row in day_lines(path):
            try:
                line = decode(row.content)
            except msgspec.DecodeError:  # cut off by a crash
                continue
            if since <= line.time <= time.time():
                yield line
