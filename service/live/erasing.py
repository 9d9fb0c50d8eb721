"""erasing.py: a shopper -> the proof of `forget`, made in a process of its own.

The proof reads every file of the home. A process that closes a file of SQLite loses the locks that
its own connections hold on it, so the one that answers requests must never do that. The name goes
in on stdin: what stands on a command line can be read by every account of the machine.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.events.settings import HistorySettings
from reranker.histories.histories import Shopper
from reranker.histories.store import open_histories
from reranker.privacy.forget import ForgetProof, forget

_PROGRAM: Final = "from service.live.erasing import main; main()"
_NOT_FOR_IT: Final = ("PROMETHEUS_MULTIPROC_DIR",)  # its counters are not the service's
_SAID: Final = 4000  # characters of what it says on stderr


class NotErased(Failure):
    """The shopper could not be deleted, or nobody can say whether they were."""

    code = "not_erased"


class Busy(Failure):
    """This worker erases somebody already."""

    code = "busy"


class _Asked(msgspec.Struct, frozen=True):
    home: str
    user: str | None
    session: str | None
    history: HistorySettings


class _Answer(msgspec.Struct, frozen=True):
    """One of the two."""

    proof: ForgetProof | None = None
    failure: str = ""


class Erasing:
    """Erases for one worker, one shopper at a time: each reads the whole home."""

    def __init__(self, workspace: Workspace) -> None:
        self._home = workspace.home.resolve()
        self._history = workspace.section(HistorySettings)
        self._lock = threading.Lock()

    def erase(self, who: Shopper) -> ForgetProof:
        """As `reranker forget`. Raises Busy, and NotErased with the reason."""
        if not self._lock.acquire(blocking=False):
            raise Busy("Another shopper is being erased; try again when that is done.")
        try:
            asked = _Asked(str(self._home), who.user, who.session, self._history)
            return _erased(msgspec.json.encode(asked))
        finally:
            self._lock.release()


def _erased(asked: bytes) -> ForgetProof:
    env = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_IT}
    env["OMP_NUM_THREADS"] = "1"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROGRAM], input=asked, capture_output=True, env=env
        )
        answer = msgspec.json.decode(done.stdout, type=_Answer)
    except OSError as error:
        raise NotErased(f"No process can be started for it: {error}.") from None
    except msgspec.DecodeError:
        said = done.stderr.decode(errors="replace")[-_SAID:].strip()
        raise NotErased(f"Erasing ended with status {done.returncode}: {said}") from None
    if answer.proof is None:
        raise NotErased(answer.failure)
    return answer.proof


def main() -> NoReturn:
    """`python -c ...`: what was asked on stdin, the answer on stdout."""
    os.umask(0o077)
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=_Asked)
    workspace = Workspace(Path(asked.home), {HistorySettings: asked.history})
    try:
        histories = open_histories(workspace)
        answer = _Answer(forget(workspace, histories, Shopper(asked.user, asked.session)))
    except Failure as failure:
        answer = _Answer(failure=f"{failure} {failure.hint or ''}".strip())
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    sys.stdout.flush()
    os._exit(0)
