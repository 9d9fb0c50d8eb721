"""batches.py: a stream of texts -> batches sorted by token length -> vectors, in threads.

Each worker thread encodes whole batches with its share of the processor's threads. That keeps a
batch in one core's cache and waits for no other core, which matters most on a busy machine.
"""

import ctypes
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from indexes.storage.arrays import Vectors

# glibc's own numbers and defaults (malloc.h, mallopt(3)).
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_DEFAULT: Final = 128 * 1024
_KEPT: Final = 512 * 1024 * 1024
_LARGEST_KEPT: Final = 32 * 1024 * 1024  # the most that glibc allows

_TOKENS: Final = 512  # what a model reads if it does not say

Positions = npt.NDArray[np.int64]
Tokens = Sequence[Sequence[int]]

_MOST_WORKERS: Final = 8  # more would only wait for the interpreter


@contextmanager
def kept_memory() -> Iterator[None]:
    """Inside, freed memory stays with the process. Nothing happens where libc is not glibc.

    Each batch frees and takes the same few megabytes again. Returned and fetched every time, as
    page after page of zeros, they cost an eighth of the encoding time.
    """
    libc = ctypes.CDLL(None)
    if not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")):
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
    libc.mallopt(_TRIM_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, _DEFAULT)
        libc.mallopt(_TRIM_THRESHOLD, _DEFAULT)
        libc.malloc_trim(0)


class Forward(Protocol):
    """How one kind of arithmetic reads texts."""

    name: str

    def tokens(self, texts: list[str]) -> Tokens:
        """The token ids of each text, cut to what the model reads."""

    def vectors(self, texts: list[str], tokens: Tokens, prompt: str) -> Vectors:
        """The vectors (n, d) of a batch; `tokens` are those of prompt and text."""


def least_cosine(vectors: Vectors, expected: Vectors) -> float:
    """The smallest cosine between rows of the same place; NaN where one is NaN."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((vectors * expected).sum(axis=1) / np.maximum(lengths, 1e-12)).min())


class Batch(NamedTuple):
    """Texts of near-equal token length, and where in the stream they were."""

    positions: Positions
    texts: list[str]
    tokens: Tokens


def encode_stream(
    forward: Forward,
    texts: Iterable[str],
    prompt: str,
    *,
    window: int,
    batch_tokens: int,
    threads: int,
) -> Iterator[tuple[Positions, Vectors]]:
    """Positions (m,) and vectors (m, d) of batch after batch, while later ones are encoded."""
    batches = _batches(forward, texts, prompt, window, batch_tokens)

    def encode(batch: Batch) -> tuple[Positions, Vectors]:
        return batch.positions, forward.vectors(batch.texts, batch.tokens, prompt)

    import torch

    workers = min(threads, _MOST_WORKERS)
    before = torch.get_num_threads()
    with kept_memory():
        try:
            if workers == 1:
                torch.set_num_threads(1)
                yield from map(encode, batches)
            else:
                yield from _in_order(workers, threads // workers, encode, batches)
        finally:
            torch.set_num_threads(before)


def _share(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _in_order(
    workers: int,
    share: int,
    encode: Callable[[Batch], tuple[Positions, Vectors]],
    batches: Iterator[Batch],
) -> Iterator[tuple[Positions, Vectors]]:
    """Results in the order of the batches, of which only a few wait at a time."""
    waiting: deque[Future[tuple[Positions, Vectors]]] = deque()
    pool = ThreadPoolExecutor(workers, initializer=_share, initargs=(share,))
    try:
        for batch in batches:
            waiting.append(pool.submit(encode, batch))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(
    forward: Forward, texts: Iterable[str], prompt: str, window: int, batch_tokens: int
) -> Iterator[Batch]:
    """Window after window, the longest texts of each first."""
    start = 0
    for read, tokens in _tokenized(forward, texts, prompt, window):
        lengths = np.array([len(row) for row in tokens], dtype=np.int64)
        for rows in _by_length(lengths, batch_tokens):
            yield Batch(start + rows, [read[row] for row in rows], [tokens[row] for row in rows])
        start += len(read)


def _tokenized(
    forward: Forward, texts: Iterable[str], prompt: str, window: int
) -> Iterator[tuple[list[str], Tokens]]:
    """Windows of texts with their tokens; the next is tokenized while one is encoded."""
    source = iter(texts)
    with ThreadPoolExecutor(1) as aside:
        ahead: tuple[list[str], Future[Any]] | None = None
        while taken := list(islice(source, window)):
            future = aside.submit(forward.tokens, [prompt + text for text in taken])
            if ahead:
                yield ahead[0], ahead[1].result()
            ahead = taken, future
        if ahead:
            yield ahead[0], ahead[1].result()


def _by_length(lengths: Positions, batch_tokens: int) -> Iterator[Positions]:
    """Rows in batches of about `batch_tokens`, longest first, near-equal lengths together."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size


def max_tokens(modules: Any) -> int:
    """How many tokens of a text the model reads."""
    return int(modules.max_seq_length or _TOKENS)
