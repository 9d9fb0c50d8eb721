"""request_sets.py: the files of judged requests in a home -> their names, and single requests."""

import base64
import binascii
import gzip
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from indexes.errors import Failure
from indexes.names import BadName, read_name
from indexes.readers.lines import MAX_LINE_BYTES
from indexes.readers.unpacking import BadPacking, TooLarge, unpacked_pieces
from indexes.readers.unpacking import lines as unpacked_lines
from indexes.storage.durable import make_own_folder, write_whole
from reranker.evaluation.requests import JudgedRequestReader
from reranker.requests import JudgedRequest
from reranker.runtime.caches import RecentlyUsed

ITEMS, EVENTS = "items.jsonl.gz", "events.jsonl.gz"
REQUESTS, ORACLE = "requests.jsonl.gz", "oracle.jsonl.gz"

FOLDER: Final = "requests"
DEMO: Final = f"data/{REQUESTS}"
MOST_LISTED: Final = 20_000
MOST_BYTES: Final = 1024**3  # of an upload, unpacked
MOST_LINES: Final = 1_000_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.jsonl(\.gz)?")
_PIECE: Final = 64 * 1024
_KEPT: Final = 8  # sets whose summaries stay in memory


class BadSet(Failure):
    """A request set that does not exist, or a file that is none."""

    code = "bad_request_set"


class Summary(NamedTuple):
    """What the picker shows of one request. line: from 1."""

    key: str
    query: str
    line: int


class _Line(msgspec.Struct):
    id: Any = None
    query: Any = None


class RequestSets:
    """<home>/requests/*.jsonl(.gz), and the demo shop's own."""

    def __init__(
        self, home: Path, reader: Callable[[], JudgedRequestReader] = JudgedRequestReader
    ) -> None:
        self._home = home
        self._reader = reader  # a new one each time: what is plausible moves on with the clock
        self._summaries: RecentlyUsed[tuple[Path, int], list[Summary]] = RecentlyUsed(_KEPT)

    def names(self) -> list[str]:
        """Every set; the demo shop's first."""
        demo = [DEMO] if (self._home / DEMO).is_file() else []
        folder = self._home / FOLDER
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        return demo + [path.name for path in files if _NAME.fullmatch(path.name)]

    def path(self, name: str) -> Path:
        """The file of a set. Only names that `names` could have said lead to a file."""
        path = self._home / (DEMO if name == DEMO else f"{FOLDER}/{checked_name(name)}")
        if not path.is_file():
            names = ", ".join(self.names()) or "none"
            raise BadSet(
                f"There is no request set {name!r}; there is {names}.",
                field="set",
                hint=f"Put .jsonl files into {self._home / FOLDER}, or upload one.",
            )
        return path

    def summaries(self, name: str) -> list[Summary]:
        """Key and query of each request; the key is its id, or `line N` without a usable one."""
        path = self.path(name)
        stamp = (path, path.stat().st_mtime_ns)
        summaries = self._summaries.get(stamp)
        if summaries is None:
            summaries = list(_summaries(path))
            self._summaries.put(stamp, summaries)
        return summaries

    def request(self, name: str, key: str) -> JudgedRequest:
        """One request by its key."""
        path = self.path(name)
        summary = next((summary for summary in self.summaries(name) if summary.key == key), None)
        if summary is None:
            raise BadSet(f"{name} holds no request {key!r}.", field="request")
        [line] = islice(_lines(path), summary.line - 1, summary.line)
        return _parsed(line, f"{name} line {summary.line}", self._reader())

    def following(self, name: str, key: str | None) -> Iterator[tuple[str, JudgedRequest]]:
        """Every usable request with its key: those after this one, then those from the first on."""
        path, summaries = self.path(name), self.summaries(name)
        start = next((one.line for one in summaries if one.key == key), 0)
        keys, reader = {one.line: one.key for one in summaries}, self._reader()
        for first, stop in ((start, None), (0, start)):
            for number, line in enumerate(islice(_lines(path), first, stop), first + 1):
                try:
                    judged = _parsed(line, f"{name} line {number}", reader)
                except BadSet:
                    continue
                if number in keys:
                    yield keys[number], judged

    def save(self, name: str, content: bytes) -> str:
        """Keep an uploaded set; BadSet names the first line that is no request."""
        checked_name(name)
        if (self._home / FOLDER / name).exists():
            raise BadSet(f"There is a set {name} already; give the file another name.", field="set")
        count, reader = 0, self._reader()
        for number, line in enumerate(_uploaded_lines(name, content), 1):
            if line.strip():
                _parsed(line, f"{name} line {number}", reader)
                count += 1
            if number > MOST_LINES:
                raise BadSet(f"{name} has more than {MOST_LINES:,} lines; send it in parts.")
        if not count:
            raise BadSet(f"{name} holds no request; one JSON object a line is expected.")
        try:
            make_own_folder(self._home / FOLDER)
            write_whole(self._home / FOLDER / name, content)
        except OSError as error:
            raise BadSet(f"{self._home / FOLDER} takes no file: {error.strerror}.") from None
        return name


def set_choices(names: list[str]) -> list[dict[str, str]]:
    """Sets as a picker shows them."""
    return [{"value": name, "label": set_label(name)} for name in names]


def set_label(name: str) -> str:
    """A set's name without what every name has."""
    return "demo shop" if name == DEMO else name.removesuffix(".gz").removesuffix(".jsonl")


def checked_name(name: str) -> str:
    """The same name; BadSet unless it is a plain file name of a requests file."""
    if not _NAME.fullmatch(name):
        raise BadSet(
            f"{name!r} is no name of a request set: letters, digits, . _ and -, ending in .jsonl "
            "or .jsonl.gz.",
            field="set",
        )
    return name


def uploaded(content: str) -> bytes:
    """The bytes of a file that the browser sent as a data address."""
    try:
        return base64.b64decode(content.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise BadSet("The file did not arrive whole; send it again.") from None


def _uploaded_lines(name: str, content: bytes) -> Iterator[bytes]:
    """The lines of an upload, unpacked a piece at a time; BadSet above what a set may hold."""
    pieces = unpacked_pieces(content, MOST_BYTES) if name.endswith(".gz") else _pieces(content)
    try:
        yield from unpacked_lines(pieces, MAX_LINE_BYTES)
    except BadPacking:
        raise BadSet(f"{name} is not gzipped, as its name says.") from None
    except TooLarge as error:
        raise BadSet(f"{name}: {error.message}", hint="Send it in parts.") from None


def _pieces(content: bytes) -> Iterator[bytes]:
    return (content[at : at + _PIECE] for at in range(0, len(content), _PIECE))


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        yield from file


def _summaries(path: Path) -> Iterator[Summary]:
    decoder = msgspec.json.Decoder(_Line)
    seen: set[str] = set()
    for number, line in enumerate(islice(_lines(path), MOST_LISTED), 1):
        try:
            row = decoder.decode(line)
        except msgspec.DecodeError:
            continue
        try:
            name = read_name("id", row.id)
        except BadName:
            name = None
        key = name if name and name not in seen else f"line {number}"
        seen.add(key)
        yield Summary(key, "" if row.query is None else str(row.query), number)


def _parsed(line: bytes, where: str, reader: JudgedRequestReader) -> JudgedRequest:
    try:
        row: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        return reader.read(row)
    except (msgspec.DecodeError, Failure) as error:
        raise BadSet(f"{where}: {str(error).rstrip('.')}.") from None
