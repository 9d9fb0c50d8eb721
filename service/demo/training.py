"""training.py: the demo's imported events -> a model, trained beside the running service.

A process of its own, at low priority: the service takes up what it publishes, as in a shop.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from indexes.workspace import Workspace

MINUTES: Final = 3
LOG: Final = "demo-train.log"
_PROGRAM: Final = "from service.commands.cli import main; main()"


@contextmanager
def training_beside(workspace: Workspace) -> Iterator[Path | None]:
    """Train while the body runs; the path of the training's log. None where a model is there."""
    if (workspace.home / "model" / "current").is_symlink():
        yield None
        return
    path = workspace.home / LOG
    command = [sys.executable, "-c", _PROGRAM, "--home", str(workspace.home.resolve())]
    with path.open("wb") as log:
        process = subprocess.Popen(
            [*command, "train", "--minutes", str(MINUTES)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.nice(15),
        )
    try:
        yield path
    finally:
        process.terminate()
        process.wait()
