"""leakage.py: judged requests -> those that may be evaluated: the model saw nothing of what came.

Point in time (invariant 7): a model that learned from what a shopper did at or after a request
knows its answer, and a measurement with it says nothing. A request's own time may not tell which
came first; then what is asked is whether the model learned from an event on one of its answers.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import xxhash

from indexes.errors import Failure
from indexes.items.words import folded
from reranker.blends.blend import Blend
from reranker.evaluation.requests import rerank_request
from reranker.model.training_users import TrainingUsers
from reranker.pseudonyms.pseudonyms import Pseudonyms
from reranker.ranking.state import NamedBlend, ServedState
from reranker.requests import JudgedRequest
from reranker.signals.context import now_of
from reranker.signals.registry import SIGNALS

# Why a request is refused: the model learned from its shopper's events
#   later       at or after its time;
#   missing, implausible, no_zone  on an item that it rates, and its time cannot tell what came
#               first: there is none, it is implausible, or it is without a zone and near to them.
Reason = Literal["later", "missing", "implausible", "no_zone"]

_LEARNED: Final = frozenset(name for name, one in SIGNALS.items() if one.learned)
_ZONES: Final = 14 * 3600.0  # seconds that a time without a zone may be away from what it says
_BEFORE: Final = 1e-6


class Leak(Failure):
    """Every request is one whose shopper's future the model knows."""

    code = "leak"


class Leaks:
    """Counts the requests that are refused, by reason.

    blends: what the requests are to be ranked with; none of them learned: nothing is refused.
    """

    def __init__(self, state: ServedState, blends: Iterable[Blend], allowed: bool) -> None:
        self.reasons: Counter[Reason] = Counter()
        self._seen: TrainingUsers | None = None
        model = state.model
        uses = any(_LEARNED & set(blend.signals) for blend in blends)
        if model is not None and uses and not allowed:
            self._seen = TrainingUsers(model.folder, state.keys)

    @property
    def count(self) -> int:
        """How many were refused."""
        return self.reasons.total()

    @property
    def by_reason(self) -> dict[str, int]:
        """The same by reason, those above 0."""
        return {reason: count for reason, count in self.reasons.items() if count}

    def warnings(self) -> list[str]:
        """What is to be said besides the counts."""
        if self._seen is None or self._seen.knows_items or not self.count - self.reasons["later"]:
            return []
        return [
            "the model does not note which items it learned from, so requests whose time does not "
            "tell what came first were refused; `reranker train` makes one that does"
        ]

    def without(self, requests: Iterable[JudgedRequest]) -> Iterator[JudgedRequest]:
        """The requests that are no leak."""
        for judged in requests:
            if not self.refuses(judged):
                yield judged

    def refuses(self, judged: JudgedRequest) -> bool:
        """Whether a request is a leak, counted."""
        if self._seen is None:
            return False
        reason = _reason(judged, self._seen)
        if reason is not None:
            self.reasons[reason] += 1
        return reason is not None

    def check(self, evaluated: int) -> None:
        """Leak when nothing is left."""
        if not self.count or evaluated:
            return
        parts = ", ".join(f"{count:,} {_WORDS[reason]}" for reason, count in self.reasons.items())
        advice = "Train on events before the requests, or say --allow-leak."
        if self.count > self.reasons["later"]:
            advice = f"Give each request its time, with a zone. {advice}"
        raise Leak(
            f"All {self.count:,} requests are of shoppers whose events the model was trained on, "
            f"so that it knows the answers: {parts}.",
            hint=" ".join([advice, *(f"{one.capitalize()}." for one in self.warnings())]),
        )


def refused(reasons: dict[str, int], what: str = "requests") -> Iterator[str]:
    """The counts in words, a line each."""
    for reason, count in reasons.items():
        yield f"{count:,} {what} refused: {_SENTENCES[reason]} (--allow-leak takes them)"


_WORDS: Final[dict[str, str]] = {
    "later": "are before some of these events",
    "missing": "have no time and rate items of these events",
    "implausible": "have an implausible time and rate items of these events",
    "no_zone": "have a time without a zone, within 14 hours of these events, and rate their items",
}
_SENTENCES: Final[dict[str, str]] = {
    "later": "the model was trained on later events of their shoppers",
    "missing": "they have no time, and the model was trained on their shoppers' events on items "
    "that they rate",
    "implausible": "their time is implausible, and the model was trained on their shoppers' events "
    "on items that they rate",
    "no_zone": "their time has no zone and is within 14 hours of events that the model was trained "
    "on, their shoppers' on items that they rate",
}


def _reason(judged: JudgedRequest, seen: TrainingUsers) -> Reason | None:
    newest = seen.newest(judged.user, judged.session)
    if newest is None:
        return None
    now, clock = _now(judged), judged.clock
    if newest >= now:
        return "later"
    if clock == "known" or (clock == "no_zone" and newest < now - _ZONES):
        return None
    relevant = [item for item, grade in judged.ratings.items() if grade > 0]
    return clock if seen.met(judged.user, judged.session, relevant) else None


def _now(judged: JudgedRequest) -> float:
    history = rerank_request(judged).history
    now = now_of(judged.time, history, time.time)
    # Without a time of its own its newest event came before it.
    return now + _BEFORE if judged.time is None and history else now


def fingerprint(request: JudgedRequest, names: Pseudonyms) -> str:
    """Equal for requests of one shopper (else of one query text): what a fit has seen of them."""
    who = request.user or request.session
    text = f"user {names.user(who)}" if who else f"query {folded(request.query)}"
    return xxhash.xxh3_64_hexdigest(text.encode("utf-8", "surrogatepass"))


def was_fitted_on(request: JudgedRequest, seen: frozenset[str], names: Pseudonyms) -> bool:
    """Whether a blend has seen it, under the keys of today or of before."""
    return bool(seen) and any(
        fingerprint(request, names.at(generation)) in seen
        for generation in range(names.generation, 0, -1)
    )


class FittedOn:
    """Counts requests that a blend was fitted on: its figures on them are too good."""

    def __init__(self, state: ServedState, blends: Iterable[NamedBlend]) -> None:
        self._seen = {
            label: seen
            for label, blend, number in blends
            if (seen := state.store.fitted_on(blend.name, number))
        }
        self._names = state.keys.open() if self._seen else None
        self._counts: Counter[str] = Counter()

    def watched(self, requests: Iterable[JudgedRequest]) -> Iterator[JudgedRequest]:
        """The same requests, counted."""
        for request in requests:
            if self._names is not None:
                for label, seen in self._seen.items():
                    self._counts[label] += was_fitted_on(request, seen, self._names)
            yield request

    def counts(self) -> dict[str, int]:
        """By blend, those above 0."""
        return {label: count for label, count in self._counts.items() if count}
