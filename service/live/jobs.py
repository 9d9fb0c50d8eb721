"""jobs.py: a command to run beside the service -> <home>/jobs/<id>, for any worker to read.

<home>/jobs/<id>/job.json       what was asked for, and when
                 progress.json  {"stage", "done", "total"}, from RERANKER_PROGRESS
                 out, err       what the command printed
                 per_query.jsonl  of an evaluation
                 ended.json     {"status", "seconds"}, once it is over
                 lock           held by its runner for as long as it lives
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.errors import Failure
from indexes.progress import PROGRESS_FILE
from indexes.storage.durable import OWN_FOLDER, make_own_folder, write_whole
from indexes.storage.locks import release, try_lock, waiting
from indexes.workspace import Workspace

AT_ONCE: Final = 2  # more would take the processors from the searches
KEPT: Final = 50
PER_QUERY: Final = "{per_query}"  # in a command: the path of its file for single queries
ENDED: Final = "ended.json"
CANCELLED: Final = "cancelled"
_RUNNER: Final = "from service.live.job_runner import main; main()"
_ID: Final = re.compile(r"[0-9a-f]{12}-[0-9a-f]{6}")
_NOT_FOR_JOBS: Final = ("PROMETHEUS_MULTIPROC_DIR",)  # a job's counters are not the service's
_TAIL: Final = 4000
_STARTING_SECONDS: Final = 2  # in which a runner has not locked yet; a clock set back gives no more
_MOST_CHARS: Final = 4096  # of one argument
_ARGUMENT: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
NOT_STARTED: Final = 127  # as a shell says it


class BadJob(Failure):
    """A job that does not exist or cannot be started."""

    code = "bad_job"


class Job(msgspec.Struct, frozen=True):
    """What is known of one job. state: running, done, failed, cancelled."""

    id: str
    kind: str
    title: str
    asked: dict[str, Any]
    began: float
    state: str
    seconds: float
    progress: dict[str, Any] | None = None
    error: str = ""


class _Asked(msgspec.Struct):
    kind: str
    title: str
    asked: dict[str, Any]
    command: list[str]
    began: float


class _Ended(msgspec.Struct):
    status: int
    seconds: float


class Jobs:
    """The jobs of one home. At most AT_ONCE run; the newest KEPT stay on the disk."""

    def __init__(self, workspace: Workspace) -> None:
        self._home = workspace.home.resolve()
        self._folder = self._home / "jobs"

    def start(
        self, kind: str, title: str, asked: Mapping[str, Any], arguments: Sequence[str]
    ) -> str:
        """Run `reranker --home HOME ARGUMENTS` in a process of its own; the job's id.

        BadJob for what no command can be given, and where the home takes no job. One whose process
        cannot be started is there, and has failed.
        """
        for part in (kind, title, *arguments):
            check_argument(part)
        try:
            return self._start(kind, title, asked, arguments)
        except OSError as error:
            raise BadJob(
                f"{self._folder} takes no job: {error.strerror}.",
                hint="The page runs jobs where the account that serves can write the home.",
            ) from None

    def _start(
        self, kind: str, title: str, asked: Mapping[str, Any], arguments: Sequence[str]
    ) -> str:
        make_own_folder(self._folder)
        with waiting(self._folder / "lock"):
            running = [job for job in self.jobs() if job.state == "running"]
            if len(running) >= AT_ONCE:
                raise BadJob(
                    f"{len(running)} jobs are running, and no more than {AT_ONCE} run at once.",
                    hint="Wait until one ends, or cancel it.",
                )
            self._tidy()
            job_id = f"{time.time_ns() // 1_000_000:012x}-{secrets.token_hex(3)}"
            folder = self._folder / job_id
            folder.mkdir(OWN_FOLDER)
            filled = [
                part.replace(PER_QUERY, str(folder / "per_query.jsonl")) for part in arguments
            ]
            command = ["--home", str(self._home), *filled]
            about = _Asked(kind, title, dict(asked), command, time.time())
            write_whole(folder / "job.json", msgspec.json.encode(about))
            try:
                _spawn(folder)
            except (OSError, ValueError) as error:
                note_end(folder, NOT_STARTED, 0.0, f"The process cannot be started: {error}.")
        return job_id

    def jobs(self, kind: str | None = None) -> list[Job]:
        """Every job, newest first."""
        listed = (self._job(name) for name in sorted(self._ids(), reverse=True))
        return [job for job in listed if job and kind in (None, job.kind)]

    def job(self, job_id: str, kind: str | None = None) -> Job:
        """One job; BadJob where there is none of this id, and of this kind."""
        job = self._job(job_id) if _ID.fullmatch(job_id) else None
        if job is None or kind not in (None, job.kind):
            raise BadJob(f"There is no job {job_id!r}; it may have been tidied away.")
        return job

    def cancel(self, job_id: str) -> None:
        """End a running job; nothing for one that is over."""
        job = self.job(job_id)
        folder = self._folder / job.id
        if job.state != "running":
            return
        try:
            (folder / CANCELLED).touch()  # also for a runner that dies before it can say so
        except OSError as error:
            raise BadJob(f"Job {job_id} cannot be cancelled: {error.strerror}.") from None
        with suppress(OSError, ValueError):
            os.killpg(int((folder / "pid").read_text()), signal.SIGTERM)

    def result(self, job_id: str) -> dict[str, Any]:
        """The JSON object with which a job's command ended."""
        try:
            text = (self._folder / self.job(job_id).id / "out").read_bytes().strip()
        except OSError:
            raise BadJob(f"Job {job_id} has no result; it may have been tidied away.") from None
        last = text.splitlines()[-1] if text else b""
        try:
            return msgspec.json.decode(last, type=dict[str, Any])
        except msgspec.DecodeError:
            raise BadJob(f"Job {job_id} printed no result.") from None

    def per_query(self, job_id: str) -> Path:
        """The file of an evaluation's single queries."""
        return self._folder / self.job(job_id).id / "per_query.jsonl"

    def _ids(self) -> list[str]:
        names = os.listdir(self._folder) if self._folder.is_dir() else []
        return [name for name in names if _ID.fullmatch(name)]

    def _job(self, job_id: str) -> Job | None:
        folder = self._folder / job_id
        try:
            about = msgspec.json.decode((folder / "job.json").read_bytes(), type=_Asked)
        except (OSError, msgspec.DecodeError):
            return None
        lives = _lives(folder)  # before ended.json is looked for: it is written before the end
        ended = _read(folder / ENDED, _Ended)
        cancelled = (folder / CANCELLED).exists()
        age = time.time() - about.began
        state = _state(ended, lives or 0 <= age < _STARTING_SECONDS, cancelled)
        return Job(
            job_id,
            about.kind,
            about.title,
            about.asked,
            about.began,
            state,
            ended.seconds if ended else max(age, 0.0),
            _read(folder / "progress.json", dict[str, Any]),
            _error(folder) if state == "failed" else "",
        )

    def _tidy(self) -> None:
        for job in self.jobs()[KEPT - 1 :]:
            if job.state != "running":
                shutil.rmtree(self._folder / job.id, ignore_errors=True)


def check_argument(part: str) -> None:
    """BadJob for a text that no process can be given, or that nobody means."""
    if not _ARGUMENT.fullmatch(part):
        raise BadJob(f"{part[:80]!r} has control characters; a job takes plain text.")
    if len(part) > _MOST_CHARS:
        raise BadJob(f"{part[:80]!r}... has {len(part):,} characters; at most {_MOST_CHARS:,}.")


def note_end(folder: Path, status: int, seconds: float, problem: str = "") -> None:
    """Write how a job ended, and why, where its command could not say it."""
    if problem:
        with suppress(OSError), (folder / "err").open("a") as err:
            err.write(f"error: {problem}\n")
    write_whole(folder / ENDED, msgspec.json.encode(_Ended(status, round(seconds, 2))))


def _state(ended: _Ended | None, lives: bool, cancelled: bool) -> str:
    if ended is None and lives:
        return "running"
    if ended is None or ended.status:
        return "cancelled" if cancelled else "failed"
    return "done"


def _lives(folder: Path) -> bool:
    """Whether a runner holds the lock: true of a process that bears its old number, too."""
    try:
        fd = try_lock(folder / "lock")
    except OSError:
        return False
    if fd is None:
        return True
    release(fd)
    return False


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _error(folder: Path) -> str:
    """The last thing that the command said before it failed."""
    try:
        output = (folder / "err").read_bytes()[-_TAIL:].decode(errors="replace").strip()
    except OSError:
        output = ""
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    fallback = output.splitlines()[-1] if output else "The job ended before it said why."
    return lines[-1].removeprefix("error: ") if lines else fallback


def _spawn(folder: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_JOBS}
    env |= {PROGRESS_FILE: str(folder / "progress.json"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _RUNNER, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=env,
        start_new_session=True,
    )
    # Somebody has to take note of its end, or it stays in the list of processes.
    threading.Thread(target=process.wait, name=f"job {folder.name}", daemon=True).start()
