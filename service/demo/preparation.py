"""preparation.py: a workspace -> the demo's shop, index, events and habits, each made once.

`<home>/demo.json` notes from what they were made: what is as before is not made again.
"""

import hashlib
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from indexes.build.rebuild import rebuild
from indexes.build.settings import RebuildSettings
from indexes.encoders.settings import EncoderSettings
from indexes.errors import Failure
from indexes.items.settings import IndexSettings
from indexes.progress import bars
from indexes.storage.durable import write_whole
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.applications.applications import BESIDE
from reranker.events.settings import EventSettings, HistorySettings
from reranker.histories.store import open_histories
from reranker.ingestion.importer import Importer
from reranker.model.settings import TrainSettings
from reranker.model_selection.train import train
from reranker.ranking.state import ServedState, load_state
from service.demo.season.data import FULL, SMALL, write_shop
from service.page.parts.request_sets import EVENTS, ITEMS, REQUESTS

passing_bars = partial(bars, leave=False)
_steps = partial(bars, unit="steps", leave=False)
_NOTES: Final = "demo.json"


class _Notes(msgspec.Struct, frozen=True):
    """Fingerprints of what the index and the events were made from; index: its version."""

    index: str = ""
    items: str = ""
    events: str = ""


class MadeShop(NamedTuple):
    """The shop's files. items, events: their checksums; requests: how many."""

    said: str
    items: str
    events: str
    requests: int


def make_shop(data: Path, small: bool) -> MadeShop:
    """The files of the shop; left alone where they are there already."""
    made = write_shop(data, SMALL if small else FULL, progress=_steps)
    counts = [f"{made.lines[name]:,}" for name in (ITEMS, EVENTS, REQUESTS)]
    said = "{} items with pictures, {} events, {} judged searches".format(*counts)
    return MadeShop(said, made.sha256[ITEMS], made.sha256[EVENTS], made.lines[REQUESTS])


def index_shop(workspace: Workspace, data: Path, shop: MadeShop) -> str:
    """Build the index, or go on with a build; what came of it."""
    settings = [workspace.section(kind) for kind in (EncoderSettings, RebuildSettings)]
    made_from = _fingerprint(shop.items, *settings, workspace.section(IndexSettings))
    notes = _read_notes(workspace)
    served = _served_index(workspace)
    if served and (notes.index, notes.items) == (served, made_from):
        return f"as before; {served}"
    built = rebuild(workspace, data / ITEMS, progress=passing_bars)
    _write_notes(workspace, index=built.version, items=made_from)
    return f"{built.encoded:,} items encoded, {built.reused:,} as before; {built.version}"


def keep_events(workspace: Workspace, data: Path, shop: MadeShop) -> str:
    """Import the events; what came of it."""
    settings = [workspace.section(kind) for kind in (EventSettings, HistorySettings)]
    made_from = _fingerprint(shop.events, *settings)
    with closing(open_histories(workspace)) as histories:
        if _read_notes(workspace).events == made_from and next(iter(histories.users()), None):
            return "as before"
        imported = Importer(workspace, data / EVENTS, passing_bars).run(histories)
    _write_notes(workspace, events=made_from)
    return f"{imported.read:,} events of {imported.users:,} shoppers imported"


def served_state(workspace: Workspace) -> tuple[ServedState, str]:
    """What is served, with personal signals: where no model fits, what shoppers do is counted."""
    state = load_state(workspace)
    if state.model is not None:
        what = "with an encoder" if state.model.has_encoder else "counts alone"
        return state, f"as before; model {state.model.version}, {what}"
    settings = workspace.section(TrainSettings)
    with _steps("counting", 2) as advance:
        counted = train(
            workspace, settings, on_line=lambda _line: None, counts_only=True, beside=BESIDE
        )
        advance(1)
        state = load_state(workspace)
        advance(1)
    said = "what {:,} shoppers looked at, bought, met together and again"
    return state, said.format(counted["shoppers"])


def _served_index(workspace: Workspace) -> str:
    """The version that is served; "" where none is, or a damaged one."""
    try:
        version = VersionStore(workspace.index_root).current()
    except Failure:
        return ""
    return version.id if version else ""


def _fingerprint(checksum: str, *settings: msgspec.Struct) -> str:
    return hashlib.sha256(msgspec.json.encode([checksum, *settings])).hexdigest()[:16]


def _read_notes(workspace: Workspace) -> _Notes:
    try:
        return msgspec.json.decode((workspace.home / _NOTES).read_bytes(), type=_Notes)
    except (OSError, msgspec.MsgspecError):
        return _Notes()


def _write_notes(workspace: Workspace, **changed: str) -> None:
    notes = msgspec.structs.replace(_read_notes(workspace), **changed)
    write_whole(workspace.home / _NOTES, msgspec.json.encode(notes) + b"\n")
