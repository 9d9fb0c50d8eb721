"""event_files.py: rows -> events files, imported."""

import gzip
import json
from pathlib import Path
from typing import Any

from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.events.events import as_sent
from reranker.events.settings import EventSettings
from reranker.histories.store import open_histories
from reranker.ingestion.importer import Importer, ImportSummary

T = 1_700_000_000
VIEW: dict[str, Any] = {"user": "u1", "type": "view", "item": "17", "time": 1_700_000_000}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def imported(
    home: Path, path: Path, settings: EventSettings | None = None, share: float | None = None
) -> ImportSummary:
    workspace = Workspace(home, {EventSettings: settings} if settings else {})
    histories = open_histories(workspace)
    try:
        return Importer(workspace, path, silent).run(histories, share)
    finally:
        histories.close()


def kept(home: Path, user: str) -> list[dict[str, Any]]:
    histories = open_histories(Workspace(home))
    try:
        return [as_sent(event) for event in histories.export(user)]
    finally:
        histories.close()
