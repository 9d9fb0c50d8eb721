"""spool.py: clean events of a file -> a nameless file of them, and what only all can tell.

What must be known of the whole file before its first event is kept: repeats, bots, visits. A few
bytes an event stay in memory; the spool has no name and is gone with its process.
"""

import tempfile
from array import array
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from indexes.storage.durable import make_own_folder
from reranker.events.bots import BASKETS, shopper_of
from reranker.events.events import HistoryEvent
from reranker.events.identity import event_key, record_key
from reranker.pseudonyms.pseudonyms import Pseudonyms

BATCH: Final = 5000
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[HistoryEvent]).decode


class Batch(NamedTuple):
    """Some events in the order of the file, with what tells them apart."""

    events: list[HistoryEvent]
    keys: list[int]
    shoppers: list[int]


class EventSpool:
    """The events of one file, to be read again in batches."""

    def __init__(self, folder: Path, names: Pseudonyms) -> None:
        """names: under which the events lie on the disk meanwhile."""
        make_own_folder(folder)
        self._names = names
        self._file = tempfile.TemporaryFile(dir=folder)
        self._lengths: list[int] = []
        self._waiting: list[HistoryEvent] = []
        self._keys = array("q")
        self._shopper_of = array("l")
        self._times = array("d")
        self._in_basket = array("b")
        self._numbers: dict[tuple[bool, str], int] = {}
        self._latest: list[float] = []
        self.out_of_order = 0
        self.items: set[str] = set()

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def shoppers(self) -> list[tuple[bool, str]]:
        """Whether it is a user, and the name, by number."""
        return list(self._numbers)

    def add(self, event: HistoryEvent) -> None:
        """Take the next event of the file."""
        key = event_key(event) if event.id is not None else record_key(event)
        shopper = self._numbers.setdefault(shopper_of(event), len(self._numbers))
        if shopper == len(self._latest):
            self._latest.append(event.time)
        elif event.time < self._latest[shopper]:
            self.out_of_order += 1
        else:
            self._latest[shopper] = event.time
        if event.item is not None:
            self.items.add(event.item)
        self._keys.append(key)
        self._shopper_of.append(shopper)
        self._times.append(event.time)
        self._in_basket.append(event.type in BASKETS)
        self._waiting.append(event)
        if len(self._waiting) == BATCH:
            self._write()

    def _write(self) -> None:
        hidden = [_encode(event) for event in self._names.hidden(self._waiting)]
        block = b"\xdd" + len(hidden).to_bytes(4, "big") + b"".join(hidden)
        self._lengths.append(self._file.write(block))
        self._waiting.clear()

    def batches(self) -> Iterator[Batch]:
        """All events, those left out that came before with the same id and the same content.

        An event without an id that the file holds n times is n events, told apart by their number:
        the same file gives the same keys again.
        """
        if self._waiting:
            self._write()
        self._file.seek(0)
        repeated = self._repeated()
        numbers: dict[tuple[int, int], int] = {}
        start = 0
        for length in self._lengths:
            events = _decode(self._file.read(length))
            batch = Batch([], [], [])
            for at, event in enumerate(events, start):
                key = self._keys[at]
                if key in repeated:
                    again = self._shopper_of[at], key
                    number = numbers[again] = numbers.get(again, -1) + 1
                    if number and event.id is not None:
                        continue
                    if number:
                        key = xxhash.xxh3_64_intdigest(key.to_bytes(8, "big"), seed=number) >> 1
                batch.events.append(event)
                batch.keys.append(key)
                batch.shoppers.append(self._shopper_of[at])
            start += len(events)
            yield batch

    def _repeated(self) -> set[int]:
        ordered = np.sort(np.frombuffer(self._keys, dtype=np.int64))
        return set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())

    def bots(self, per_minute: int) -> dict[int, int]:
        """Shoppers with more events than this in one minute, and the most they had."""
        shopper, time = self._columns()
        basket = np.frombuffer(self._in_basket, dtype=np.int8)
        order = np.lexsort((basket, time, shopper))
        shopper, time, basket = shopper[order], time[order], basket[order]
        same = (shopper[1:] == shopper[:-1]) & (time[1:] == time[:-1])
        same_basket = same & (basket[1:] == 1) & (basket[:-1] == 1)
        counted = np.concatenate(([True], ~same_basket))
        shopper, minute = shopper[counted], (time[counted] // 60).astype(np.int64)
        new = (shopper[1:] != shopper[:-1]) | (minute[1:] != minute[:-1])
        starts = np.flatnonzero(np.concatenate(([True], new)))
        counts = np.diff(np.append(starts, len(shopper)))
        most: dict[int, int] = {}
        for at in np.flatnonzero(counts > per_minute):
            number = int(shopper[starts[at]])
            most[number] = max(int(counts[at]), most.get(number, 0))
        return most

    def events_of(self, shoppers: Collection[int]) -> int:
        """How many events these shoppers have."""
        return int(np.isin(self._columns()[0], list(shoppers)).sum())

    def visits(self, gap_minutes: float) -> int:
        """How many visits there are, split at silences longer than this."""
        shopper, time = self._columns()
        order = np.lexsort((time, shopper))
        shopper, time = shopper[order], time[order]
        new = (shopper[1:] != shopper[:-1]) | (np.diff(time) > gap_minutes * 60)
        return int(new.sum()) + 1

    def _columns(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        return np.array(self._shopper_of, dtype=np.int64), np.frombuffer(self._times)

    def close(self) -> None:
        """Let go of the file, and so of what is in it."""
        self._file.close()
