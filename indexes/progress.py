"""progress.py: work done -> a bar on stderr with items/s and time left, when somebody looks.

A job without a terminal writes it to the file that RERANKER_PROGRESS names instead.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import msgspec
from tqdm import tqdm

Advance = Callable[[int], object]
Progress = Callable[[str, int | None], AbstractContextManager[Advance]]

PROGRESS_FILE: Final = "RERANKER_PROGRESS"
_EVERY_SECONDS: Final = 0.2


@contextmanager
def bars(
    stage: str, total: int | None, unit: str = "items", *, leave: bool = True
) -> Iterator[Advance]:
    """A progress bar for one stage; hidden when stderr is not a terminal.

    leave: whether its last state stays on the terminal.
    """
    hidden = not sys.stderr.isatty()
    desc, unit = f"{stage:<10}", f" {unit}"
    with tqdm(desc=desc, total=total, unit=unit, disable=hidden, leave=leave) as bar:
        file = os.environ.get(PROGRESS_FILE)
        yield _Noted(Path(file), stage, total, bar.update) if file else bar.update


@contextmanager
def silent(_stage: str, _total: int | None) -> Iterator[Advance]:
    """No bar: for callers that show their own."""
    yield lambda _done: None


class _Noted:
    """Keeps `{"stage", "done", "total"}` in a file, replaced whole, a few times a second."""

    def __init__(self, file: Path, stage: str, total: int | None, also: Advance) -> None:
        self._file, self._stage, self._total, self._also = file, stage, total, also
        self._done = 0
        self._written = 0.0
        self._write()

    def __call__(self, done: int) -> None:
        self._also(done)
        self._done += done
        now = time.monotonic()
        if now - self._written >= _EVERY_SECONDS or self._done == self._total:
            self._written = now
            self._write()

    def _write(self) -> None:
        note = {"stage": self._stage, "done": self._done, "total": self._total}
        whole = self._file.with_name(f"{self._file.name}.new")
        whole.write_bytes(msgspec.json.encode(note))
        whole.replace(self._file)
