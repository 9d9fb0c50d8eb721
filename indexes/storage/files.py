"""files.py: records -> gzipped JSON lines, the same bytes for the same records, and back."""

import gzip
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from indexes.storage.durable import OWN_FILE, make_folder


def write_lines(path: Path, lines: Iterable[Any]) -> None:
    """Write all lines or nothing."""
    text = msgspec.json.Encoder().encode_lines(lines)
    write_whole(path, gzip.compress(text, compresslevel=5, mtime=0))


def write_whole(path: Path, content: bytes) -> None:
    """Aside and synced first, then in one move into place."""
    make_folder(path.parent)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            os.fchmod(file.fileno(), OWN_FILE)  # request sets and jobs name shoppers
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
