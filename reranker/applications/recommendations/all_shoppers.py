"""all_shoppers.py: every user with a history -> a file of recommendations, a row an item.

What is done stands in a work file beside the result, so that an interrupted run goes on; it counts
only for the same versions and the same wish.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.applications.recommendations.candidates import CatalogueLists
from reranker.applications.recommendations.unexplained import recommend_unexplained
from reranker.applications.recommendations.wishes import Wish
from reranker.ranking.state import ServedState, load_state

FORMS: Final = (".jsonl", ".parquet")
_CHUNK: Final = 64  # users that a helper is given at once
_AHEAD: Final = 16  # chunks that are on their way


class Row(msgspec.Struct, frozen=True):
    """One recommendation to one user. `user`: the name that the histories keep."""

    user: str
    rank: int
    item: str
    score: float
    reason: str
    because_of: str
    text: str
    source: str


class Written(msgspec.Struct, frozen=True):
    """What became of a run. resumed: users whose rows stood there from an earlier one."""

    users: int
    rows: int
    resumed: int
    out: str


class Helpers:
    """Processes that recommend, each with a state of its own of the same home; a context manager.

    Begun by `spawn`: nothing of this process's threads and files is carried over.
    """

    def __init__(self, workspace: Workspace, processes: int) -> None:
        self._pool = ProcessPoolExecutor(
            processes, get_context("spawn"), initializer=_begin, initargs=(workspace,)
        )

    def __enter__(self) -> "Helpers":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def rows(self, users: Iterable[str], wish: Wish) -> Iterator[tuple[str, bytes]]:
        """Each user with the line of their rows, in order; a few chunks are on their way."""
        waiting: deque[Future[list[tuple[str, bytes]]]] = deque()
        for chunk in batched(users, _CHUNK):
            waiting.append(self._pool.submit(_chunk, chunk, wish))
            if len(waiting) > _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def write_all(
    users: Iterable[str],
    wish: Wish,
    state: ServedState,
    out: Path,
    progress: Callable[[int], object] = lambda _users: None,
    helpers: Helpers | None = None,
) -> Written:
    """Recommend to each user and write the file whole, once all are done. Failure for its form.

    helpers: processes that share the work; None: this one does it.
    """
    if out.suffix not in FORMS:
        raise Failure(
            f"--out is {out.name!r}; a name that ends in {' or '.join(FORMS)} is expected.",
            field="--out",
        )
    work = out.with_name(f".{out.name}.part")
    run = {"versions": state.versions, "blend": state.published_version, "wish": wish}
    done = _done(work, msgspec.json.encode(run))
    resumed, lists = len(done), CatalogueLists(state.index, state.personal.learned)
    with work.open("ab") as file:
        if not file.tell():
            file.write(msgspec.json.encode(run) + b"\n")
        waiting = (user for user in users if user not in done)
        each = helpers.rows(waiting, wish) if helpers else _each(waiting, wish, state, lists)
        for user, line in each:
            file.write(line + b"\n")
            done.add(user)
            progress(len(done))
    rows = _write(work, out)
    work.unlink()
    return Written(len(done), rows, resumed, str(out))


_opened: list[tuple[ServedState, CatalogueLists]] = []  # of a helper


def _begin(workspace: Workspace) -> None:
    state = load_state(workspace)
    _opened[:] = [(state, CatalogueLists(state.index, state.personal.learned))]


def _chunk(users: list[str], wish: Wish) -> list[tuple[str, bytes]]:
    return list(_each(users, wish, *_opened[0]))


def batched(users: Iterable[str], size: int) -> Iterator[list[str]]:
    """The users in chunks of at most this size."""
    remaining = iter(users)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _each(
    users: Iterable[str], wish: Wish, state: ServedState, lists: CatalogueLists
) -> Iterator[tuple[str, bytes]]:
    for user in users:
        yield user, msgspec.json.encode(_rows(user, wish, state, lists))


def _rows(user: str, wish: Wish, state: ServedState, lists: CatalogueLists) -> list[Row]:
    shopper = msgspec.structs.replace(wish.shopper, user=user)
    answer = recommend_unexplained(msgspec.structs.replace(wish, shopper=shopper), state, lists)
    return [
        Row(
            user,
            result.rank,
            result.id,
            result.score,
            result.reason.kind,
            result.reason.item or "",
            result.reason.text,
            answer.source,
        )
        for result in answer.results
    ]


def _done(work: Path, run: bytes) -> set[str]:
    """Users whose rows are there; none, and an empty work file, where another run made it.

    A last line that was not written to its end is cut off.
    """
    if not work.exists():
        return set()
    content = work.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    first, _, rest = whole.partition(b"\n")
    if first != run:
        work.write_bytes(b"")
        return set()
    if len(whole) < len(content):
        os.truncate(work, len(whole))
    lists = [msgspec.json.decode(line, type=list[Row]) for line in rest.splitlines()]
    return {rows[0].user for rows in lists if rows}


def _lists(work: Path) -> Iterator[list[Row]]:
    with work.open("rb") as file:
        next(file)
        for line in file:
            yield msgspec.json.decode(line, type=list[Row])


def _write(work: Path, out: Path) -> int:
    """The result, beside its name first: nobody sees half of it."""
    half = out.with_name(f".{out.name}.half")
    count = 0
    if out.suffix == ".parquet":
        count = _write_parquet(work, half)
    else:
        with half.open("wb") as file:
            for rows in _lists(work):
                file.writelines(msgspec.json.encode(row) + b"\n" for row in rows)
                count += len(rows)
    os.replace(half, out)
    return count


def _write_parquet(work: Path, half: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"rank": pa.int32(), "score": pa.float64()}
    names = Row.__struct_fields__
    schema = pa.schema([(name, types.get(name, pa.string())) for name in names])
    count = 0
    with pq.ParquetWriter(half, schema) as writer:
        for rows in _lists(work):
            columns: dict[str, list[Any]] = {
                name: [getattr(row, name) for row in rows] for name in names
            }
            writer.write_table(pa.table(columns, schema))
            count += len(rows)
    return count
