"""gunicorn_api.py: gunicorn -> what of it this service stands on, in one place.

Its documented settings are not here; these are classes and functions of its modules, and members of
them that a later release might rename. tests/unit/server/test_gunicorn_api.py asks the installed
gunicorn for each, so that a release without one fails there and not while it serves.
"""

from typing import Any, Final

from gunicorn import SERVER
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.asgi.parser import ParseError, PythonProtocol
from gunicorn.glogging import Logger
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidChunkSize,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader
from gunicorn.util import http_date, unquote_to_wsgi_str
from gunicorn.workers.gthread import ThreadWorker

__all__ = [
    "SERVER",
    "Arbiter",
    "BaseApplication",
    "ChunkedReader",
    "ExpectationFailed",
    "InvalidChunkSize",
    "LimitRequestHeaders",
    "LimitRequestLine",
    "Logger",
    "ParseError",
    "ParseException",
    "PlainConfig",
    "PythonProtocol",
    "Request",
    "ThreadWorker",
    "Unreader",
    "UnsupportedTransferCoding",
    "http_date",
    "unquote_to_wsgi_str",
]

# Members that are read, called, set or overridden, of the classes or of their instances.
MEMBERS: Final[dict[type, tuple[str, ...]]] = {
    Arbiter: ("WORKERS", "handle_term", "manage_workers", "reap_workers", "reload", "run")
    + ("wait_for_signals",),
    BaseApplication: ("cfg", "load", "load_config", "run"),
    ChunkedReader: ("read",),
    Logger: ("error_log", "setup"),
    PythonProtocol: ("_chunk_remaining", "feed", "is_complete", "remaining"),
    Request: ("_expected_100_continue", "body", "force_close", "headers", "method", "path")
    + ("should_close", "trailers", "uri", "version"),
    ThreadWorker: ("accept", "age", "alive", "cfg", "handle", "handle_exit", "handle_quit")
    + ("handle_request", "init_process", "is_parent_alive", "keepalived_conns", "max_keepalived")
    + ("max_requests", "method_queue", "notify", "nr", "nr_conns", "pid", "poller", "run")
    + ("set_accept_enabled", "sockets", "tpool", "wait_for_and_dispatch_events", "wsgi")
    + ("worker_connections",),
    Unreader: ("chunk", "take_buffered", "unread"),
}


class PlainConfig:
    """gunicorn's configuration with its settings as plain attributes.

    The parser looks fifteen of them up for each head, which takes as long as the rest of its work.
    """

    def __init__(self, cfg: Any) -> None:
        self.__dict__.update({name: setting.get() for name, setting in cfg.settings.items()})
        self.is_ssl = cfg.is_ssl
        self._cfg = cfg

    def __getattr__(self, name: str) -> Any:
        """What is no setting."""
        return getattr(self._cfg, name)
