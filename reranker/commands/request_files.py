"""request_files.py: requests and judgments files -> what can be used of them, and what is odd.

Bad lines and warnings show before hours of work.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import numpy as np

from indexes.errors import Failure
from indexes.items.index import ItemIndex
from indexes.readers.bad_lines import BadLines
from indexes.workspace import Workspace
from reranker.commands.output import show_bad
from reranker.evaluation.judgments import Judgments, read_judgments
from reranker.evaluation.requests import read_requests, request_reader
from reranker.ranking.state import ServedState
from reranker.requests import JudgedRequest

_MOST_UNKNOWN: Final = 0.5  # share of candidates that the index lacks, above which that is said


@dataclass
class Checked:
    """What can be used of a requests file. warnings: a sentence each."""

    count: int
    bad: BadLines
    warnings: list[str] = field(default_factory=list)


def usable_requests(path: Path, workspace: Workspace) -> Iterator[JudgedRequest]:
    """The requests of a file that was checked: its bad lines were shown."""
    return read_requests(path, lambda _bad: None, request_reader(workspace))


def checked_requests(
    path: Path,
    max_bad_share: float,
    workspace: Workspace,
    state: ServedState,
    judged: Judgments | None = None,
) -> Checked:
    """How many requests there are, read once for that; what is odd about them is shown, too."""
    bad, reader, meeting = BadLines(path), request_reader(workspace), _Meeting(state.index, judged)
    count = 0
    for request in read_requests(path, bad.add, reader):
        count += 1
        meeting.add(request)
    show_bad(bad)
    bad.check(count, max_bad_share)
    if not count:
        raise Failure(f"{path} holds no request.", hint="One JSON object a line is expected.")
    warnings = [*reader.warnings(), *meeting.warnings()]
    for warning in warnings:
        click.echo(f"{path}: warning: {warning}", err=True)
    return Checked(count, bad, warnings)


@contextmanager
def explained(warnings: list[str]) -> Iterator[None]:
    """Where nothing is left to rank because no rating is there, the failure says what is odd."""
    try:
        yield
    except Failure as failure:
        if failure.field == "ratings" and warnings:
            failure.hint = f"Warning: {'; '.join(warnings)}. {failure.hint}"
        raise


def checked_judgments(
    path: Path | None, max_bad_share: float
) -> tuple[Judgments | None, BadLines | None]:
    """The judgments of a file, if there is one."""
    if path is None:
        return None, None
    bad = BadLines(path)
    judgments = read_judgments(path, bad.add)
    show_bad(bad)
    bad.check(judgments.rows + judgments.unrated, max_bad_share)
    if not judgments.rows:
        unrated = f": {judgments.unrated:,} rows are unrated" if judgments.unrated else ""
        raise Failure(
            f"{path} holds no judgment{unrated}.",
            hint="Expected: a .csv with query,docid,rating, a .json with judgmentRatings, "
            "or TREC qrels.",
        )
    return judgments, bad


class _Meeting:
    """Whether the ids of requests, judgments and index meet, with an example of each side."""

    def __init__(self, index: ItemIndex, judged: Judgments | None) -> None:
        self._index, self._judged = index, judged
        self._requests = self._matched = self._met = 0
        self._candidates = self._unknown = 0
        self._request: JudgedRequest | None = None
        self._rating: tuple[str, str] | None = None
        self._unknown_item = ""

    def add(self, request: JudgedRequest) -> None:
        """Look at one request."""
        ratings = request.ratings if self._judged is None else self._judged.of(request)
        ids = [candidate.id for candidate in request.candidates]
        rows = self._index.rows(ids)
        self._request = self._request or request
        self._requests += 1
        self._matched += bool(ratings)
        relevant = [item for item, grade in ratings.items() if grade > 0]
        self._met += not ratings.keys().isdisjoint(ids)
        if relevant and self._rating is None:
            self._rating = relevant[0], ids[0]
        unknown = np.flatnonzero(rows < 0)
        self._candidates += len(ids)
        self._unknown += len(unknown)
        if len(unknown) and not self._unknown_item:
            self._unknown_item = ids[int(unknown[0])]

    def warnings(self) -> list[str]:
        """What does not meet, a sentence each."""
        return [*self._queries(), *self._items(), *self._catalogue()]

    def _queries(self) -> Iterator[str]:
        if self._judged is not None and self._request is not None and not self._matched:
            yield (
                f"no judgment belongs to any of the {self._requests:,} requests: judged is, for "
                f"example, {self._judged.example!r}, asked was {self._judged.key(self._request)!r}"
            )

    def _items(self) -> Iterator[str]:
        if self._rating is not None and not self._met:
            rated, candidate = self._rating
            yield (
                f"no rated item is among the candidates of any of the {self._requests:,} requests: "
                f"rated is, for example, {rated!r}, a candidate {candidate!r}"
            )

    def _catalogue(self) -> Iterator[str]:
        if self._unknown > _MOST_UNKNOWN * self._candidates:
            [item] = self._index.ids.ids(np.zeros(1, np.int64))
            yield (
                f"{self._unknown:,} of {self._candidates:,} candidates are not in the index: "
                f"for example {self._unknown_item!r}; the index holds, for example, {item!r}"
            )
