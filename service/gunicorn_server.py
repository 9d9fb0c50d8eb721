"""gunicorn_server.py: a listening socket and a workspace -> gunicorn workers that answer on it."""

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

import click
import faiss
from flask import Flask
from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import (
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from threadpoolctl import threadpool_limits

from indexes.errors import Failure
from indexes.workspace import Workspace
from service.answers import error_body
from service.limits import LimitSettings
from service.security_headers import RAW
from service.serve import Banner, ServeSettings, url_of
from service.slow_clients import PatientWorker, TooMuchHeld, TooSlow

log = logging.getLogger("reranker")

BOOT_SECONDS: Final = 120  # a worker may take so long to load; then it is started anew
KEEP_ALIVE_SECONDS: Final = 75
_LOAD_FAILED: Final = 4  # gunicorn stops as a whole on this exit status of a worker
_PAUSE_SECONDS: Final = 2.0
_MULTIPROCESS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"


class Worker(PatientWorker):
    """gunicorn's threaded worker, with our error shape and no requests lost to Ctrl-C."""

    def handle_quit(self, sig: int, frame: Any) -> None:
        self.handle_exit(sig, frame)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer what never reached Flask: a request that is not HTTP, or headers too large."""
        if not isinstance(exc, (ParseException, TooSlow, TooMuchHeld)):
            log.error("a connection failed", exc_info=exc)
        status, reason, message = _refusal(exc)
        body = error_body(status, message)
        head = (
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{RAW}\r\n"
        )
        try:
            util.write_nonblock(client, head.encode() + body)
        except OSError:
            log.debug("the client was gone before its error", exc_info=True)


def _refusal(exc: BaseException) -> tuple[int, str, str]:
    if isinstance(exc, TooSlow):
        return 408, "Request Timeout", str(exc)
    if isinstance(exc, TooMuchHeld):
        return 503, "Service Unavailable", str(exc)
    if isinstance(exc, LimitRequestHeaders):
        return 431, "Request Header Fields Too Large", "The headers are too large."
    if isinstance(exc, LimitRequestLine):
        return 414, "URI Too Long", "The address is too long."
    if isinstance(exc, UnsupportedTransferCoding):
        return 501, "Not Implemented", "This transfer coding is not known."
    if isinstance(exc, ParseException):
        return 400, "Bad Request", "This is not an HTTP request that can be read."
    return 500, "Internal Server Error", "The service failed here; its log has the reason."


class Server(BaseApplication):  # type: ignore[misc]
    """One gunicorn: the index is loaded after the fork, in every worker, from the same files."""

    def __init__(
        self, workspace: Workspace, listener: socket.socket, banner: Banner, folder: Path
    ) -> None:
        self._workspace = workspace
        self._listener = listener
        self._url = url_of(listener)
        self._banner = banner
        self._was_ready = folder / "was_ready"
        super().__init__()

    def load_config(self) -> None:
        settings = self._workspace.section(ServeSettings)
        limits = self._workspace.section(LimitSettings)
        options = {
            "bind": f"fd://{self._listener.detach()}",
            "workers": settings.workers,
            "threads": settings.threads,
            "worker_class": type("Worker", (Worker,), {"limits": limits}),
            "graceful_timeout": settings.grace_seconds,
            "timeout": BOOT_SECONDS,
            "keepalive": KEEP_ALIVE_SECONDS,
            "loglevel": "error",
            "proc_name": "reranker",
            "control_socket_disable": True,
            "post_worker_init": self._say_ready,
            "child_exit": _forget_gauges,
            "worker_exit": _write_rankings,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        from service.app import create_app, served

        # Requests run beside each other already; and OpenMP's pool, if the parent had one, does
        # not survive the fork: waiting for its threads would hang.
        faiss.omp_set_num_threads(1)
        threadpool_limits(1, "blas")
        try:
            app = create_app(self._workspace)
        except Exception as error:
            self._give_up(error)
        served(app).watch()
        self._was_ready.touch()
        return app

    def _give_up(self, error: Exception) -> None:
        """End the service when it never worked; when it did, end this worker and try again.

        A worker that dies while a damaged version is published must not take the others along.
        """
        if not isinstance(error, Failure):
            log.error("a worker cannot start", exc_info=error)
        if not self._was_ready.exists():
            click.echo(f"error: {error}", err=True)
            sys.exit(_LOAD_FAILED)
        log.error("a worker cannot start and is tried again: %s", error)
        time.sleep(_PAUSE_SECONDS)
        sys.exit(1)

    def _say_ready(self, worker: Worker) -> None:
        from service.app import served

        if worker.age == 1:
            click.echo(self._banner(self._url, served(self.callable).state))
            sys.stdout.flush()


def _write_rankings(_server: Any, worker: Worker) -> None:
    """What was answered last; a worker that never had its application has nothing to write."""
    from service.app import ranking_log

    app = getattr(worker.app, "callable", None)
    if app is not None:
        ranking_log(app).flush()


def _forget_gauges(_server: Any, worker: Worker) -> None:
    from prometheus_client import multiprocess

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
