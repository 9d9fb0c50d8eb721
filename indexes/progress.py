"""progress.py: work done -> a bar on stderr with items/s and time left, when somebody looks."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tqdm import tqdm

Advance = Callable[[int], object]
Progress = Callable[[str, int | None], AbstractContextManager[Advance]]


@contextmanager
def bars(stage: str, total: int | None) -> Iterator[Advance]:
    """A progress bar for one stage; hidden when stderr is not a terminal."""
    hidden = not sys.stderr.isatty()
    with tqdm(desc=f"{stage:<10}", total=total, unit=" items", disable=hidden) as bar:
        yield bar.update


@contextmanager
def silent(_stage: str, _total: int | None) -> Iterator[Advance]:
    """No bar: for callers that show their own."""
    yield lambda _done: None
