"""job_runner.py: a job's folder -> its command run to the end, and ended.json.

A process of its own between the service and the command: it outlives a worker that is replaced.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from indexes.storage.locks import try_lock
from service.live.jobs import NOT_STARTED, note_end

_PROGRAM: Final = "from service.commands.cli import main; main()"
_NICE: Final = 10  # searches first


def main() -> None:
    """`python -c ... FOLDER`."""
    run(Path(sys.argv[1]))


def run(folder: Path) -> None:
    """Hold the job's lock, run its command, note how it ended."""
    os.umask(0o077)  # what the command prints and writes names shoppers
    held = try_lock(folder / "lock")
    if held is None:
        return
    (folder / "pid").write_text(str(os.getpid()))
    with suppress(OSError):  # where the account may not, it runs as it is
        os.nice(_NICE)
    command = msgspec.json.decode((folder / "job.json").read_bytes())["command"]
    began = time.monotonic()
    try:
        status, problem = _wait(folder, command), ""
    except (OSError, ValueError) as error:
        status, problem = NOT_STARTED, f"The command cannot be started: {error}."
    note_end(folder, status, time.monotonic() - began, problem)


def _wait(folder: Path, command: list[str]) -> int:
    """The status with which the command ended."""
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        signal.signal(signal.SIGTERM, lambda _signal, _frame: process.terminate())
        return process.wait()
