"""answers.py: the service's JSON -> typed answers; what does not fit the request is refused.

A page is put together from these, so what a proxy or another program answered in the service's
place must not pass for a ranking: every place is looked at.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .bodies import Listed
from .failures import Failure, bad_answer, numbered

T = TypeVar("T")
Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """One candidate in its new place. index: where it was sent, from 0; rank: from 1."""

    id: str
    index: int
    rank: int
    score: float | None
    explanation: Raw | None = None


@dataclass(frozen=True, slots=True)
class RerankAnswer:
    """A ranking. error: why it is the engine's own order; None where the service answered.

    id: of the ranking, for the events that follow it. raw: all that was answered.
    """

    results: list[Result]
    id: str | None = None
    error: Failure | None = None
    raw: Raw = field(default_factory=dict, repr=False)

    @property
    def order(self) -> list[int]:
        """The places, from 0, at which the candidates were sent, best first."""
        return [result.index for result in self.results]

    def applied_to(self, items: Sequence[T]) -> list[T]:
        """What was searched, in the new order: one for each candidate, in the order sent."""
        return [items[result.index] for result in self.results]


@dataclass(frozen=True, slots=True)
class Recommended:
    """One item. rank: from 1; reason: kind, text and the item that led to it."""

    id: str
    rank: int
    score: float
    reason: Raw


@dataclass(frozen=True, slots=True)
class RecommendAnswer:
    """Items, best first; none where error says why. source: where the first came from."""

    results: list[Recommended]
    id: str | None = None
    source: str | None = None
    error: Failure | None = None
    raw: Raw = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class CartAnswer:
    """complete: what goes with the cart; next: the next basket; ordered: the chance of an order."""

    complete: list[Recommended]
    next: list[Recommended]
    ordered: float | None = None
    id: str | None = None
    error: Failure | None = None
    raw: Raw = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """One event or item that was not kept. position: from 0, in the order sent."""

    position: int
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What became of events or items. accepted: on the service's disk, with `duplicates`."""

    accepted: int
    duplicates: int
    conflicts: int
    rejected: list[Rejected]


def engine_order(candidates: Listed, top_n: Any, error: Failure) -> RerankAnswer:
    """The ranking where there is none: as the engine had it."""
    count = len(candidates.candidates)
    if isinstance(top_n, int) and top_n >= 0:
        count = min(count, top_n)
    results = [
        Result(candidates.id_of(index), index, index + 1, _score_sent(candidates, index))
        for index in range(count)
    ]
    return RerankAnswer(results, error=error)


def _score_sent(candidates: Listed, index: int) -> float | None:
    score = candidates.candidates[index].get("score")
    return score if isinstance(score, int | float) else None


def rerank_answer(payload: Any, candidates: Listed, top_n: Any) -> RerankAnswer:
    """A ranking of exactly these candidates, each once, cut by top_n alone."""
    answer = _object(payload, "is no object")
    rows = _rows(answer, "results")
    count = len(candidates.candidates)
    expected = count if top_n is None else min(count, top_n)
    results = [_result(row, rank) for rank, row in enumerate(rows, 1)]
    places = {result.index for result in results}
    if len(results) != expected or len(places) != expected or not places <= set(range(count)):
        raise bad_answer(f"has not each of the {expected} candidates once")
    return RerankAnswer(results, _text(answer, "id"), raw=answer)


def _result(row: Raw, rank: int) -> Result:
    index = row.get("index")
    if not isinstance(index, int) or isinstance(index, bool):
        raise bad_answer("has a result without `index`")
    return Result(_text(row, "id"), index, rank, _number(row, "score"), row.get("explanation"))


def recommend_answer(payload: Any) -> RecommendAnswer:
    """Items, in the order of their ranks."""
    answer = _object(payload, "is no object")
    return RecommendAnswer(
        _recommended(answer, "results"),
        _text(answer, "id"),
        _text(answer, "source"),
        raw=answer,
    )


def cart_answer(payload: Any) -> CartAnswer:
    """Both lists and the chance of an order."""
    answer = _object(payload, "is no object")
    ordered = None if answer.get("ordered") is None else _number(answer, "ordered")
    return CartAnswer(
        _recommended(answer, "complete"),
        _recommended(answer, "next"),
        ordered,
        _text(answer, "id"),
        raw=answer,
    )


def _recommended(answer: Raw, name: str) -> list[Recommended]:
    return [
        Recommended(
            _text(row, "id"),
            rank,
            _number(row, "score"),
            _object(row.get("reason"), "has a result without `reason`"),
        )
        for rank, row in enumerate(_rows(answer, name), 1)
    ]


def kept_answer(payload: Any, count: int) -> KeptAnswer:
    """What became of so many events or items, each of them accounted for."""
    answer = _object(payload, "is no object")
    rejected = [
        Rejected(numbered(row, "position"), str(row.get("field", "")), str(row.get("message", "")))
        for row in _rows(answer, "rejected")
    ]
    accepted = numbered(answer, "accepted")
    positions = {bad.position for bad in rejected}
    if accepted + len(positions) != count or not positions <= set(range(count)):
        raise bad_answer(f"does not account for the {count} that were sent")
    return KeptAnswer(
        accepted, numbered(answer, "duplicates"), numbered(answer, "conflicts"), rejected
    )


def batch_answers(payload: Any, readers: Sequence[Callable[[Any], T]]) -> list[T]:
    """One answer for each request, read by its own reader."""
    answers = _object(payload, "is no object").get("answers")
    if not isinstance(answers, list) or len(answers) != len(readers):
        raise bad_answer(f"has not one of `answers` for each of the {len(readers)} requests")
    return [read(answer) for read, answer in zip(readers, answers, strict=True)]


def _object(value: Any, problem: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad_answer(problem)
    return value


def _rows(answer: Raw, name: str) -> list[dict[str, Any]]:
    rows = answer.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise bad_answer(f"has no list `{name}`")
    return rows


def _text(row: Raw, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise bad_answer(f"has no text `{name}`")
    return value


def _number(row: Raw, name: str) -> float:
    value = row.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise bad_answer(f"has no number `{name}`")
    return float(value)
