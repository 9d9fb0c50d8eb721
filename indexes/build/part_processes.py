"""part_processes.py: a catalogue -> its parts, each encoded by a process of this machine.

Each process does what `reranker encode --part k/n` does, in the background's priority, with its
share of the processor's threads. Killed with or without them, the next run goes on where each was.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from indexes.build.settings import RebuildSettings
from indexes.build.vector_parts import Share, encode_part
from indexes.encoders.settings import EncoderSettings
from indexes.errors import Failure
from indexes.progress import Progress, silent
from indexes.times import TimeSettings
from indexes.workspace import Settings, Workspace

_PROGRAM: Final = "from indexes.build.part_processes import main; main()"
_NICE: Final = 10
_SAID: Final = 2000
_PAUSE: Final = 0.1


class PartJob(msgspec.Struct, frozen=True, kw_only=True):
    """One part to be encoded, with everything that it takes."""

    home: str
    source: str
    folder: str
    part: int
    parts: int
    encoding: str | None
    besides: str | None
    encoder: EncoderSettings
    rebuild: RebuildSettings
    times: TimeSettings


def part_jobs(
    workspace: Workspace,
    source: Path,
    folder: Path,
    count: int,
    threads: int,
    encoding: str | None,
    besides: Path | None,
) -> list[bytes]:
    """All parts, as what a process is told. threads: of each."""
    encoder = msgspec.structs.replace(workspace.section(EncoderSettings), threads=threads)
    return [
        msgspec.json.encode(
            PartJob(
                home=str(workspace.home.absolute()),
                source=str(source.absolute()),
                folder=str(folder.absolute()),
                part=part,
                parts=count,
                encoding=encoding,
                besides=str(besides.absolute()) if besides else None,
                encoder=encoder,
                rebuild=workspace.section(RebuildSettings),
                times=workspace.section(TimeSettings),
            )
        )
        for part in range(1, count + 1)
    ]


def encode_in_processes(
    workspace: Workspace,
    source: Path,
    folder: Path,
    count: int,
    progress: Progress,
    *,
    encoding: str | None = None,
    besides: Path | None = None,
) -> None:
    """Encode all of `count` parts, side by side; Failure where one fails, the others ended."""
    threads = max(1, (workspace.section(EncoderSettings).threads or os.cpu_count() or 1) // count)
    jobs = part_jobs(workspace, source, folder, count, threads, encoding, besides)
    running: list[subprocess.Popen[bytes]] = []
    try:
        for job in jobs:
            running.append(_started(job))
        _await_all(running, progress)
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
            process.wait()
            if process.stderr:
                process.stderr.close()


def _await_all(running: list[subprocess.Popen[bytes]], progress: Progress) -> None:
    waiting = list(running)
    with progress("parts", len(waiting)) as advance:
        while waiting:
            for process in [one for one in waiting if one.poll() is not None]:
                waiting.remove(process)
                if process.returncode:
                    told = process.stderr.read() if process.stderr else b""
                    raise part_failed(_last_words(process.returncode, told))
                advance(1)
            time.sleep(_PAUSE)


def _started(job: bytes) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=_environment(),
    )
    assert process.stdin is not None
    process.stdin.write(job)
    process.stdin.close()
    return process


def _environment() -> dict[str, str]:
    """This process's, with what it can import."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": paths}


def run_part(job: bytes, paths: str) -> str:
    """Encode one part in a process of its own; what it said where it failed, else "".

    paths: where the other machine finds this program, too.
    """
    environment = {**os.environ, "PYTHONPATH": paths}
    words = [sys.executable, "-P", "-c", _PROGRAM]
    done = subprocess.run(words, input=job, env=environment, capture_output=True)
    return _last_words(done.returncode, done.stderr) if done.returncode else ""


def part_failed(last_words: str) -> Failure:
    """What to say when a part did not come to its end."""
    return Failure(
        f"A part was not encoded: {last_words}. Nothing was published.",
        hint="Mend that and run the same command: what is encoded is not encoded again.",
    )


def _last_words(status: int, stderr: bytes) -> str:
    last = stderr.decode(errors="replace").strip()[-_SAID:]
    return f"status {status}: {last}" if last else f"status {status}"


def main() -> NoReturn:
    """`python -c ...`: a PartJob on stdin."""
    os.nice(_NICE)
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=PartJob)
    own: tuple[Settings, ...] = (job.encoder, job.rebuild, job.times)
    sections = {type(section): section for section in own}
    try:
        encode_part(
            Workspace(Path(job.home), sections),
            Path(job.source),
            Share(job.part, job.parts),
            Path(job.folder),
            silent,
            encoding=job.encoding,
            besides=Path(job.besides) if job.besides else None,
        )
    except Failure as failure:
        sys.exit(str(failure))
    sys.exit(0)
