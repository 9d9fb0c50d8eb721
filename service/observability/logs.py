"""logs.py: log records -> one line each on stderr: JSON for machines, text for a terminal.

A line holds no line break whatever somebody sends, and at most MOST bytes, so that the lines of
several workers never mix in a pipe. The text of an exception that nobody foresaw may hold what a
shopper typed: while a request is answered its type and its place in the code are logged, the text
only with `logs.exception_texts`.
"""

import logging
import sqlite3
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from indexes.errors import Failure
from service.observability.request_ids import answering
from service.observability.settings import LogSettings

MOST: Final = 4000  # bytes of a line; a pipe takes 4,096 in one piece
_MESSAGE: Final = 1000  # characters
_HARMLESS: Final = (OSError, Failure, MemoryError, ImportError, sqlite3.Error)
_TELLING: Final = frozenset({"MainThread", "reload"})  # they see nothing that a shopper sent
_LEVELS: Final = {"WARNING": "warning", "ERROR": "error", "CRITICAL": "error", "DEBUG": "debug"}
_COLOURS: Final = {"warning": "\x1b[33m", "error": "\x1b[31m"}  # yellow, red
_PLAIN: Final = "\x1b[0m"
# What a terminal or a tool that splits lines could take for a line's end or for a command.
_CONTROLS: Final = {
    code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))
} | {0x2028: "\\u2028", 0x2029: "\\u2029", 9: " "}
_BREAKS: Final = _CONTROLS | {10: "\\n", 13: "\\r"}


def set_up_logs(settings: LogSettings) -> None:
    """Send every line of this process to stderr in one format: ours, gunicorn's, warnings."""
    handler = stderr_handler(settings)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    ours = logging.getLogger("reranker")
    ours.handlers.clear()
    ours.propagate = True
    ours.setLevel(settings.level.upper())
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def stderr_handler(settings: LogSettings) -> logging.Handler:
    """The one handler of the service."""
    handler = logging.StreamHandler(sys.stderr)
    kind = JsonLines if writes_json(settings, sys.stderr.isatty()) else TextLines
    handler.setFormatter(kind(settings))
    return handler


def writes_json(settings: LogSettings, terminal: bool) -> bool:
    """Whether lines are JSON."""
    return settings.format == "json" or (settings.format == "auto" and not terminal)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, settings: LogSettings) -> None:
        super().__init__()
        self._settings = settings

    def format(self, record: logging.LogRecord) -> str:
        row = facts_of(record, self._settings)
        line = _encode(row)
        while len(line) > MOST and _shrink(row):
            line = _encode(row)
        return line.decode()


class TextLines(logging.Formatter):
    """A line for people: time, level, message, then what else is known."""

    def __init__(self, settings: LogSettings) -> None:
        super().__init__()
        self._settings, self._colours = settings, sys.stderr.isatty()

    def format(self, record: logging.LogRecord) -> str:
        row = facts_of(record, self._settings)
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        level, message = row.pop("level"), _one_line(row.pop("message"))
        del row["time"]
        exception = row.pop("exception", None)
        mark = f"{level:<7}"
        if self._colours and level in _COLOURS:
            mark = f"{_COLOURS[level]}{mark}{_PLAIN}"
        rest = "  ".join(f"{name}={_one_line(_plain(value))}" for name, value in row.items())
        line = f"{at} {mark} {message}" + (f"  {rest}" if rest else "")
        return line if exception is None else f"{line}\n{_indented(exception['traceback'])}"


def facts_of(record: logging.LogRecord, settings: LogSettings) -> dict[str, Any]:
    """Everything that a line says, in its order."""
    at = datetime.fromtimestamp(record.created, UTC)
    row: dict[str, Any] = {
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": _LEVELS.get(record.levelname, "info"),
        "message": record.getMessage()[:_MESSAGE],
    }
    if record.name != "reranker":
        row["logger"] = record.name
    facts = answering.get()
    if facts is not None:
        row |= {"request_id": facts.id, "route": facts.route}
        if facts.trace:
            row["trace_id"] = facts.trace
        if settings.queries and facts.asked is not None:
            row["query"] = facts.asked.query[:500]
    row |= getattr(record, "fields", {})
    if record.exc_info and record.exc_info[1] is not None:
        safe = facts is None and record.threadName in _TELLING
        row["exception"] = _exception(record.exc_info[1], safe or settings.exception_texts)
    return row


def _exception(error: BaseException, texts: bool) -> dict[str, str]:
    lines: list[str] = []
    for link in reversed(list(_chain(error))):
        lines += traceback.format_tb(link.__traceback__)
        lines.append(f"{_head(link, texts)}\n")
    return {"type": type(error).__name__, "traceback": "".join(lines).rstrip("\n")}


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what it came from, and so on; at most ten."""
    link: BaseException | None = error
    for _ in range(10):
        if link is None:
            return
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _head(error: BaseException, texts: bool) -> str:
    name = type(error).__name__
    if texts or isinstance(error, _HARMLESS):
        return f"{name}: {_one_line(str(error))[:_MESSAGE]}"
    return f"{name}: (text not logged; logs.exception_texts)"


def _encode(row: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(_clean(row))


def _clean(value: Any) -> Any:
    """The same with what is no Unicode, or ends a line for some tools, written out."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().translate(_CONTROLS)
    if isinstance(value, Mapping):
        return {name: _clean(part) for name, part in value.items()}
    return [_clean(part) for part in value] if isinstance(value, list) else value


def _shrink(row: dict[str, Any]) -> bool:
    """Make a row shorter where it is long: the outer half of a traceback, then texts."""
    exception = row.get("exception")
    if exception and len(exception["traceback"]) > 400:
        text = exception["traceback"]
        row["exception"] = {**exception, "traceback": "..." + text[len(text) // 2 :]}
        return True
    texts = [(len(value), name) for name, value in row.items() if isinstance(value, str)]
    length, name = max(texts)
    if length < 100:
        return False
    row[name] = row[name][: length // 2] + "..."
    return True


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _one_line(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().translate(_BREAKS)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in str(_clean(text)).split("\n"))


def _uncaught(_kind: type[BaseException], error: BaseException, _trace: Any) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    logging.getLogger("reranker").critical("an exception ended the process", exc_info=error)


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or args.exc_type is SystemExit:
        return
    name = args.thread.name if args.thread else "?"
    logging.getLogger("reranker").error("thread %s ended", name, exc_info=args.exc_value)
