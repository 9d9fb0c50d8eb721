"""catalogue_pass.py: one reading of the catalogue -> columns, and the texts still to be encoded.

Everything is checked here, in seconds, before the hours of encoding begin. Memory holds tens of
bytes an item: records and texts go straight to files.
"""

from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import xxhash

from indexes.build.folding import Folding
from indexes.build.known_keys import NEW, KnownKeys
from indexes.build.template_fills import TemplateFills
from indexes.build.vector_cache import DIGEST, Digests, VectorCache
from indexes.errors import Failure
from indexes.items.columns import ColumnsWriter, Hashes, id_hash
from indexes.items.records import Item, ItemReader, read_items
from indexes.items.text import ItemText, text_digest
from indexes.progress import Progress
from indexes.readers.bad_lines import NOT_UTF8, SAY_ENCODING, BadLine, BadLines
from indexes.readers.file_forms import FileForm

WINDOW: Final = 8192  # texts in memory at once, to be looked up or encoded together,
WINDOW_BYTES: Final = 16 * 1024 * 1024  # or fewer where they are long: one may have megabytes
_SAMPLE_CHARS: Final = 2000  # of each text that the tokenizer is tried on
_SHOWN: Final = 1000  # bad lines kept in memory; the file holds them all


class Rejected(BadLines):
    """Lines that could not be used: all of them in the file at `path`, a thousand at hand."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, shown=_SHOWN)
        self._file = path.open("wb")

    def add(self, bad: BadLine) -> None:
        """Note one line."""
        super().add(bad)
        self._file.write(msgspec.json.encode({"line": bad.line, "reason": bad.reason}) + b"\n")

    def close(self) -> None:
        """Finish the file; an empty one is removed."""
        self._file.close()
        if not self.count:
            self.path.unlink(missing_ok=True)


class TextSpool:
    """Texts on disk that have no vector yet, each once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w+b")
        self._digests = bytearray()
        self._lengths = array("Q")

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def digests(self) -> Digests:
        """What stands for each text (n,)."""
        return np.frombuffer(self._digests, dtype=DIGEST)

    def add(self, digest: bytes, text: str) -> None:
        """Append one text."""
        encoded = text.encode("utf-8", "surrogatepass")
        self._file.write(encoded)
        self._digests += digest
        self._lengths.append(len(encoded))

    def windows(self) -> Iterator[tuple[int, list[str]]]:
        """All texts in order, as many at a time as memory takes; before each, how many came."""
        self._file.seek(0)
        texts: list[str] = []
        size = 0
        for place, length in enumerate(self._lengths):
            if len(texts) == WINDOW or (texts and size + length > WINDOW_BYTES):
                yield place - len(texts), texts
                texts, size = [], 0
            texts.append(self._file.read(length).decode("utf-8", "surrogatepass"))
            size += length
        if texts:
            yield len(self) - len(texts), texts

    def close(self) -> None:
        """Remove the texts; the vectors are what stays."""
        self._path.unlink(missing_ok=True)
        with suppress(OSError):  # a full disk: what could not be written is not needed any more
            self._file.close()


@dataclass
class Catalogue:
    """What one reading found."""

    texts: Digests  # (items,) the text of each row
    fresh: int  # items whose text has no vector yet
    id_hashes: Hashes  # (items,)
    filled: dict[str, int]  # how many items have a price, a brand, ...
    content: str  # digest of all records in order: equal means nothing changed
    sample: list[str]  # some texts, evenly spread, to look at the tokenizer's unknown share

    def most_alike(self) -> tuple[int, list[int]]:
        """How many items have the commonest text, and the rows of the first three of them."""
        texts, rows, counts = np.unique(self.texts, return_inverse=True, return_counts=True)
        if not len(texts):
            return 0, []
        commonest = int(counts.argmax())
        return int(counts[commonest]), np.flatnonzero(rows == commonest)[:3].tolist()

    def __len__(self) -> int:
        return len(self.texts)


@dataclass
class Source:
    """The file to be read, and what is found out about it on the way."""

    path: Path
    reader: ItemReader
    form: FileForm
    notes: list[str]
    folding: Folding


class _Line(NamedTuple):
    """An item of the catalogue, waiting for its window to be full."""

    line: int
    item: Item
    hashed_id: int
    digest: bytes
    text: str


class _Pass:
    """The state of one reading.

    on_duplicate: told of items whose id came before, with their lines. on_item: of those taken.
    """

    def __init__(
        self,
        staged: Path,
        cache: VectorCache,
        spool: TextSpool,
        on_duplicate: Callable[[int, Item], Any],
        on_item: Callable[[Item], Any],
    ) -> None:
        self.columns = ColumnsWriter(staged)
        self._cache, self._spool = cache, spool
        self._on_duplicate, self._on_item = on_duplicate, on_item
        self._ids: KnownKeys[np.uint64] = KnownKeys(np.uint64)
        self._alike: dict[int, list[str]] = {}  # ids that share a hash with an earlier one
        self._spooled: KnownKeys[np.bytes_] = KnownKeys(DIGEST)
        self._content = xxhash.xxh3_128()
        self._digests = bytearray()
        self._window: list[_Line] = []
        self._window_chars = 0
        self.fresh = 0
        self.sample: list[str] = []
        self._step = 1

    def add(self, line: int, item: Item, text: str) -> None:
        """Take one item, unless its id came before."""
        self._window.append(_Line(line, item, id_hash(item.id), text_digest(text), text))
        self._window_chars += len(text)
        if len(self._window) == WINDOW or self._window_chars > WINDOW_BYTES:
            self.flush()

    def _keep_sample(self, row: int, text: str) -> None:
        """Every text at first, then every 2nd, 4th, ...: at most 2,000 over the whole catalogue."""
        if row % self._step == 0:
            self.sample.append(text[:_SAMPLE_CHARS])
        if len(self.sample) >= 2000:
            self.sample, self._step = self.sample[::2], self._step * 2

    def flush(self) -> None:
        """Write the items of this window that are new, and spool their texts without a vector."""
        lines = self._new_lines()
        for line in lines:
            self._keep_sample(len(self.columns.id_hashes), line.text)
            self._content.update(self.columns.add(line.item, line.hashed_id))
            self._content.update(line.digest)
            self._digests += line.digest
            self._on_item(line.item)
        self._spool_texts(lines)
        self._window.clear()
        self._window_chars = 0

    def _new_lines(self) -> list[_Line]:
        """The first line of each id; two ids of one hash are told apart by what they are."""
        hashes = np.array([line.hashed_id for line in self._window], dtype=np.uint64)
        first = self._ids.find(hashes).tolist()
        here: dict[int, tuple[int, str]] = {}  # new hashes: the row and the id that came first
        new: list[_Line] = []
        for line, row in zip(self._window, first, strict=True):
            hashed, item_id = line.hashed_id, line.item.id
            met = here.get(hashed)
            if row == NEW and met is None:
                here[hashed] = len(self.columns.id_hashes) + len(new), item_id
            else:
                earlier = met[1] if met else self.columns.id_of(row)
                alike = self._alike.get(hashed, [])
                if item_id == earlier or item_id in alike:
                    self._on_duplicate(line.line, line.item)
                    continue
                self._alike[hashed] = [*alike, item_id]
            new.append(line)
        rows = np.array([row for row, _ in here.values()], dtype=np.int64)
        self._ids.add(np.array(list(here), dtype=np.uint64), rows)
        return new

    def _spool_texts(self, lines: list[_Line]) -> None:
        digests = np.array([line.digest for line in lines], dtype=DIGEST)
        missing = np.flatnonzero(~self._cache.known(digests))
        self.fresh += len(missing)
        _, first = np.unique(digests[missing], return_index=True)
        once = missing[np.sort(first)]
        once = once[self._spooled.find(digests[once]) == NEW]
        for at in once.tolist():
            self._spool.add(lines[at].digest, lines[at].text)
        self._spooled.add(digests[once], np.zeros(len(once), np.int64))

    def finish(self) -> Catalogue:
        return Catalogue(
            texts=np.frombuffer(self._digests, dtype=DIGEST),
            fresh=self.fresh,
            id_hashes=np.asarray(self.columns.id_hashes, dtype=np.uint64),
            filled=self.columns.finish(),
            content=self._content.hexdigest(),
            sample=self.sample,
        )


def read_catalogue(
    source: Source,
    template: ItemText,
    staged: Path,
    cache: VectorCache,
    spool: TextSpool,
    rejected: Rejected,
    progress: Progress,
) -> Catalogue:
    """Read every line once: columns into `staged`, new texts into `spool`, bad lines noted."""
    fills = TemplateFills(template)

    def came_before(line: int, item: Item) -> None:
        rejected.add(BadLine(line, f"id {item.id!r} came before; the first one stays"))

    def taken(item: Item) -> None:
        if fills.counts:
            fills.add(item)

    reading = _Pass(staged, cache, spool, came_before, taken)
    try:
        with progress("reading", None) as advance:
            rows = read_items(source.path, rejected.add, source.reader, source.form)
            for line, item in source.folding.items(rows):
                reading.add(line, item, template.render(item))
                advance(1)
            reading.flush()
        if not reading.columns.id_hashes:
            raise _nothing_usable(source, rejected)
        source.notes.extend(fills.check(list(source.reader.chooser.report()["columns"])))
        return reading.finish()
    finally:
        reading.columns.close()


def _nothing_usable(source: Source, rejected: Rejected) -> Failure:
    """Why not one line is an item: the commonest reasons, and what there is instead."""
    columns = ", ".join(map(repr, list(source.reader.chooser.report()["columns"])[:12]))
    why = f": {rejected.reasons()}" if rejected.count else ""
    has = f" It has the columns {columns}." if columns else ""
    where = f" All of them are in {rejected.path}." if rejected.count else ""
    encoding = ""
    if source.form.encoding is None and NOT_UTF8 in why:
        encoding = f" {SAY_ENCODING}"
    return Failure(
        f"{source.path} holds no item that can be used ({rejected.count:,} lines were rejected)"
        f"{why}.{has}",
        hint=f"Every line needs an `id` and a `title`; `rebuild.columns` names other columns for "
        f"them.{encoding}{where}",
    )
