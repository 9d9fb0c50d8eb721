"""request_sets.py: the files of judged requests in a home -> their names, and single requests."""

import base64
import binascii
import gzip
import re
from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from indexes.errors import Failure
from reranker.judged_requests import judged_request
from reranker.requests import JudgedRequest
from service.demo.data import REQUESTS
from service.demo.files import write_whole

FOLDER: Final = "requests"
DEMO: Final = f"data/{REQUESTS}"
MOST_LISTED: Final = 20_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.jsonl(\.gz)?")
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
    id: str = ""
    query: str = ""


class RequestSets:
    """<home>/requests/*.jsonl(.gz), and the demo shop's own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._summaries: OrderedDict[tuple[Path, int], list[Summary]] = OrderedDict()

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
            there = ", ".join(self.names()) or "none"
            raise BadSet(
                f"There is no request set {name!r}; there is {there}.",
                field="set",
                hint=f"Put .jsonl files into {self._home / FOLDER}, or upload one.",
            )
        return path

    def summaries(self, name: str) -> list[Summary]:
        """Key and query of each request; the key is its id, or `line N` without a usable one."""
        path = self.path(name)
        stamp = (path, path.stat().st_mtime_ns)
        if stamp not in self._summaries:
            self._summaries[stamp] = list(_summaries(path))
            while len(self._summaries) > _KEPT:
                self._summaries.popitem(last=False)
        return self._summaries[stamp]

    def request(self, name: str, key: str) -> JudgedRequest:
        """One request by its key."""
        path = self.path(name)
        found = next((one for one in self.summaries(name) if one.key == key), None)
        if found is None:
            raise BadSet(f"{name} holds no request {key!r}.", field="request")
        [line] = islice(_lines(path), found.line - 1, found.line)
        return _parsed(line, f"{name} line {found.line}")

    def save(self, name: str, content: bytes) -> str:
        """Keep an uploaded set; BadSet names the first line that is no request."""
        checked_name(name)
        if (self._home / FOLDER / name).exists():
            raise BadSet(f"There is a set {name} already; give the file another name.", field="set")
        lines = content
        if name.endswith(".gz"):
            lines = _unzipped(name, content)
        count = 0
        for number, line in enumerate(lines.splitlines(), 1):
            if line.strip():
                _parsed(line, f"{name} line {number}")
                count += 1
        if not count:
            raise BadSet(f"{name} holds no request; one JSON object a line is expected.")
        try:
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


def _unzipped(name: str, content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError):
        raise BadSet(f"{name} is not gzipped, as its name says.") from None


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        yield from file


def _summaries(path: Path) -> Iterator[Summary]:
    decoder = msgspec.json.Decoder(_Line)
    seen: set[str] = set()
    for number, line in enumerate(islice(_lines(path), MOST_LISTED), 1):
        try:
            one = decoder.decode(line)
        except msgspec.DecodeError:
            continue
        key = one.id if one.id and one.id not in seen else f"line {number}"
        seen.add(key)
        yield Summary(key, one.query, number)


def _parsed(line: bytes, where: str) -> JudgedRequest:
    try:
        row: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        return judged_request(row)
    except (msgspec.DecodeError, Failure) as error:
        raise BadSet(f"{where}: {str(error).rstrip('.')}.") from None
