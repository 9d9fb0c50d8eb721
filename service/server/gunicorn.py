"""gunicorn.py: a listening socket and a workspace -> gunicorn workers that answer on it."""

import gc
import logging
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

import faiss
from flask import Flask
from threadpoolctl import threadpool_limits

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.ranking.state import ServedState
from service.http.addresses import url_of
from service.http.settings import ServeSettings
from service.observability.settings import LogSettings
from service.server.arbiter import Master
from service.server.banner import Banner
from service.server.gunicorn_api import BaseApplication, Logger
from service.server.worker import Worker

log = logging.getLogger("reranker")

BOOT_SECONDS: Final = 120  # a worker may take so long to load; then it is started anew
KEEP_ALIVE_SECONDS: Final = 75
_LOAD_FAILED: Final = 4  # gunicorn stops as a whole on this exit status of a worker
_PAUSE_SECONDS: Final = 2.0
# Of Python's garbage collector: going through all that is remembered takes 10 ms and more, in which
# nobody is answered; nearly all of it is freed without the collector.
_COLLECTIONS: Final = (2_000, 10, 200)
_MULTIPROCESS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"


class GunicornLog(Logger):  # type: ignore[misc]
    """gunicorn's own lines go where ours go, in the same format."""

    def setup(self, cfg: Any) -> None:
        self.error_log.handlers.clear()
        self.error_log.propagate = True  # to the root's handler
        self.error_log.setLevel(cfg.loglevel.upper())


class Server(BaseApplication):  # type: ignore[misc]
    """One gunicorn: the index is loaded after the fork, in every worker, from the same files."""

    def __init__(
        self, workspace: Workspace, listener: socket.socket, banner: Banner, folder: Path
    ) -> None:
        self.workspace = workspace
        self._url = url_of(listener)
        self._fd = listener.detach()
        self._banner = banner
        self._folder = folder
        self._was_ready = folder / "was_ready"
        super().__init__()

    def load_config(self) -> None:
        settings = self.workspace.section(ServeSettings)
        options = {
            "bind": f"fd://{self._fd}",
            "workers": settings.workers,
            "threads": settings.threads,
            "worker_class": Worker,
            "graceful_timeout": settings.grace_seconds,
            "timeout": BOOT_SECONDS,
            "keepalive": KEEP_ALIVE_SECONDS,
            "loglevel": "error",
            "logger_class": GunicornLog,
            "proc_name": "reranker",
            "control_socket_disable": True,
            "sendfile": False,  # bytes leave through outgoing.py alone
            "forwarder_headers": "",  # no header says what the path is
            "post_worker_init": self._say_ready,
            "child_exit": _forget_gauges,
            "worker_exit": _write_rankings,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        drain_seconds = self.workspace.section(ServeSettings).drain_seconds
        Master(self, drain_seconds, BOOT_SECONDS).run()

    def ready_file(self, worker: int) -> Path:
        """What is there once the worker with this process id answers."""
        return self._folder / f"ready-{worker}"

    def load(self) -> Flask:
        from service.app import create_app, metrics_of, pulling, retention, served

        # Requests run beside each other already; and OpenMP's pool, if the parent had one, does
        # not survive the fork: waiting for its threads would hang.
        faiss.omp_set_num_threads(1)
        threadpool_limits(1, "blas")
        try:
            app = create_app(self.workspace)
        except Exception as error:
            self._give_up(error)
        gc.collect()
        gc.freeze()  # what is loaded for good need not be gone through again and again
        gc.set_threshold(*_COLLECTIONS)
        served(app).watch()
        retention(app).watch()
        pulling(app).watch()
        metrics_of(app).keep_fresh()
        self._was_ready.touch()
        return app

    def _give_up(self, error: Exception) -> None:
        """End the service when it never worked; when it did, end this worker and try again.

        A worker that dies while a damaged version is published must not take the others along.
        """
        if not isinstance(error, Failure):
            log.error("a worker cannot start", exc_info=error)
        if not self._was_ready.exists():
            if self.workspace.section(LogSettings).format == "json":
                log.error("cannot start: %s", error)
            else:
                sys.stderr.write(f"error: {error}\n")
            sys.exit(_LOAD_FAILED)
        log.error("a worker cannot start and is tried again: %s", error)
        time.sleep(_PAUSE_SECONDS)
        sys.exit(1)

    def _say_ready(self, worker: Worker) -> None:
        from service.app import served

        self.ready_file(os.getpid()).touch()
        if worker.age == 1:
            self._greet(served(self.callable).state)

    def _greet(self, state: ServedState) -> None:
        """The banner for people; where logs are JSON by choice, its facts as a line of the log."""
        if self.workspace.section(LogSettings).format == "json":
            blend = f"{state.published.name}@{state.published_version}"
            fields = {"url": self._url, "blend": blend, "versions": state.versions}
            log.info("ready", extra={"fields": {**fields, "items": len(state.index)}})
            return
        sys.stdout.write(f"{self._banner(self._url, state)}\n")
        sys.stdout.flush()


def _write_rankings(_server: Any, worker: Worker) -> None:
    """What was answered last; a worker that never had its application has nothing to write."""
    from service.app import metrics_of, ranking_log

    app = getattr(worker.app, "callable", None)
    if app is not None:
        ranking_log(app).flush()
        metrics_of(app).refresh()


def _forget_gauges(_server: Any, worker: Worker) -> None:
    from prometheus_client import multiprocess

    worker.app.ready_file(worker.pid).unlink(missing_ok=True)
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def run(
    workspace: Workspace,
    listener: socket.socket,
    banner: Banner,
    kind: Callable[..., BaseApplication] = Server,
) -> None:
    """Serve until a signal; exits 1 when gunicorn could not start its workers."""
    folder = Path(tempfile.mkdtemp(prefix="reranker-"))
    os.environ[_MULTIPROCESS_DIR] = str(folder)  # before prometheus_client is imported
    parent = os.getpid()
    try:
        kind(workspace, listener, banner, folder).run()
    except SystemExit as ended:
        if os.getpid() != parent:
            _leave(ended)
        if ended.code:
            raise SystemExit(1) from None
    finally:
        if os.getpid() == parent:
            shutil.rmtree(folder, ignore_errors=True)


def _leave(ended: SystemExit) -> NoReturn:
    """End a worker, which was forked from inside `run`, without the parent's exit handlers.

    onnxruntime starts a thread when it is imported; the fork does not have it, and waiting for it
    at exit hangs or aborts.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended.code if isinstance(ended.code, int) else 1)
