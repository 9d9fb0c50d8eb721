"""leakage.py: judged requests -> those that may be evaluated: the model saw nothing of what came.

Point in time (invariant 7): a model that learned from what a shopper did at or after a request
knows its answer, and a measurement with it says nothing. A request's own time may not tell which
came first; then what is asked is whether the model learned from an event on one of its answers.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import xxhash

from indexes.errors import Failure
from indexes.items.words import folded
from reranker.blends.blend import Blend
from reranker.errors import HistoryFailure
from reranker.evaluation.requests import rerank_request
from reranker.histories.histories import Shopper
from reranker.model.training_times import share_later, trained_to
from reranker.model.training_users import TrainingUsers
from reranker.pseudonyms.pseudonyms import Pseudonyms
from reranker.ranking.state import NamedBlend, ServedState
from reranker.requests import JudgedRequest
from reranker.signals.columns import Missing
from reranker.signals.context import now_of
from reranker.signals.registry import SIGNALS
from reranker.signals.user_history import Personalization, shopper_events
from reranker.times import ZONES

log = logging.getLogger("reranker")

# Why a request is refused: the model learned from its shopper's events
#   later       at or after its time;
#   missing, implausible, no_zone, ahead  on an item that it rates, and its time cannot tell what
#               came first: there is none, it is implausible, it is without a zone and near to them,
#               or it has not come yet, so that the answers were known before it.
#   anybody    at or after its time, from anybody's: asked for where clicks are counted.
Reason = Literal["later", "missing", "implausible", "no_zone", "ahead", "anybody"]

_LEARNED: Final = frozenset(name for name, signal in SIGNALS.items() if signal.learned)
_PERSONAL: Final = frozenset(name for name, signal in SIGNALS.items() if signal.personal)
_BEFORE: Final = 1e-6


class Leak(Failure):
    """Every request is one whose shopper's future the model knows."""

    code = "leak"


class Leaks:
    """Counts the requests that are refused, by reason.

    blends: what the requests are to be ranked with; none of them learned: nothing is refused.
    of_anybody: also requests from before any event that the model was trained on. It may have been
    trained on the very clicks that are counted, and counts are of all shoppers.
    """

    def __init__(
        self,
        state: ServedState,
        blends: Iterable[Blend],
        allowed: bool,
        of_anybody: bool = False,
    ) -> None:
        self.reasons: Counter[Reason] = Counter()
        self.undated_answers = 0  # taken, though what is ranked with may hold the answer
        self._personal = state.personal
        self._seen: TrainingUsers | None = None
        model = state.model
        signals = {name for blend in blends for name in blend.signals}
        if model is not None and _LEARNED & signals and not allowed:
            self._seen = TrainingUsers(model.folder, state.keys)
        self._trained_to = -math.inf
        self._later: list[float] = []  # of each request taken, the share of the training after it
        self._about = model.about if model is not None and _LEARNED & signals else {}
        if of_anybody and self._seen is not None:
            self._trained_to = trained_to(self._about) or math.inf
        read = {name for name in signals if state.index.modalities or not SIGNALS[name].vectors}
        self._looks_back = bool(_PERSONAL & read) and not allowed

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
        warnings = []
        if self._seen and not self._seen.knows_items and self.count > self.reasons["later"]:
            warnings.append(
                "the model does not note which items it learned from, so requests whose time does "
                "not tell what came first were refused; `reranker train` makes one that does"
            )
        if self.undated_answers:
            warnings.append(
                f"{self.undated_answers:,} requests are ranked with events on items that they "
                "rate, and their time does not tell what came first: their figures may be too good"
            )
        return warnings

    def without(self, requests: Iterable[JudgedRequest]) -> Iterator[JudgedRequest]:
        """The requests that are no leak."""
        for judged in requests:
            if not self.refuses(judged):
                yield judged

    def refuses(self, judged: JudgedRequest) -> bool:
        """Whether a request is a leak, counted."""
        reason = None if self._seen is None else _reason(judged, self._people(judged), self._seen)
        if reason is None and judged.time is not None and _now(judged) < self._trained_to:
            reason = "anybody"
        if reason is None:
            self._note_later(judged)
        if reason is not None:
            self.reasons[reason] += 1
        elif self._looks_back and _may_hold_answer(judged, self._personal):
            self.undated_answers += 1
        return reason is not None

    @property
    def training_later(self) -> float | None:
        """Which share of the training is later than a request that was taken, on average."""
        return sum(self._later) / len(self._later) if self._later else None

    def _note_later(self, judged: JudgedRequest) -> None:
        share = None if judged.time is None else share_later(self._about, _now(judged))
        if share is not None:
            self._later.append(share)

    def _people(self, judged: JudgedRequest) -> list[Shopper]:
        """Every name of the request's shopper: its own, those in its history, and whose they are
        by what is known today, as a session may have become a user's since the model was made."""
        names = {Shopper(judged.user, judged.session)}
        names |= {Shopper(event.user, event.session) for event in judged.history or ()}
        names.discard(Shopper(None, None))
        same_person = self._personal.same_person
        if same_person is None:
            return list(names)
        try:
            return list(names.union(*map(same_person, names)))
        except HistoryFailure as failure:
            log.warning("%s", failure)
            return list(names)

    def check(self, evaluated: int) -> None:
        """Leak when nothing is left."""
        if not self.count or evaluated:
            return
        parts = ", ".join(f"{count:,} {_WORDS[reason]}" for reason, count in self.reasons.items())
        advice = "Train on events before the requests, or say --allow-leak."
        if self.count > self.reasons["later"]:
            advice = f"Give each request its time, with a zone. {advice}"
        if self.reasons["anybody"] == self.count:
            raise Leak(
                f"All {self.count:,} rankings are from before events that the model was trained "
                "on, so that it may have been trained on the clicks that are counted.",
                hint="Run `reranker train --until TIME` with a time before them, or say "
                "--allow-leak.",
            )
        raise Leak(
            f"All {self.count:,} requests are of shoppers whose events the model was trained on, "
            f"so that it knows the answers: {parts}.",
            hint=" ".join([advice, *(f"{warning.capitalize()}." for warning in self.warnings())]),
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
    "ahead": "have a time that has not come yet and rate items of these events",
    "anybody": "are before events of others",
}
_SENTENCES: Final[dict[str, str]] = {
    "later": "the model was trained on later events of their shoppers",
    "missing": "they have no time, and the model was trained on their shoppers' events on items "
    "that they rate",
    "implausible": "their time is implausible, and the model was trained on their shoppers' events "
    "on items that they rate",
    "no_zone": "their time has no zone and is within 14 hours of events that the model was trained "
    "on, their shoppers' on items that they rate",
    "ahead": "their time has not come yet, and the model was trained on their shoppers' events on "
    "items that they rate",
    "anybody": "the model was trained on events at or after their time; `reranker train --until` "
    "leaves those out",
}


def _reason(
    judged: JudgedRequest, people: list[Shopper], trained_on: TrainingUsers
) -> Reason | None:
    times = [time for person in people if (time := trained_on.newest(*person)) is not None]
    if not times:
        return None
    newest = max(times)
    now, clock = _now(judged), judged.clock
    if newest >= now:
        return "later"
    if clock == "known" or (clock == "no_zone" and newest < now - ZONES):
        return None
    relevant = _relevant(judged)
    return clock if any(trained_on.met(*person, relevant) for person in people) else None


def _relevant(judged: JudgedRequest) -> set[str]:
    return {item for item, grade in judged.ratings.items() if grade > 0}


def _may_hold_answer(judged: JudgedRequest, personal: Personalization) -> bool:
    """Whether what is read of the shopper's past may be the very answer, by what is known of time.

    A history sent along without any time is taken at its word.
    """
    if judged.clock == "known" or (judged.clock == "missing" and judged.history is not None):
        return False
    request = rerank_request(judged)
    now = now_of(request.time, request.history, time.time)
    past = shopper_events(request, lambda: now, personal)
    if isinstance(past, Missing):
        return False
    since = now - ZONES if judged.clock == "no_zone" else -math.inf
    relevant = _relevant(judged)
    return any(event.item in relevant and event.time >= since for event in past)


def _now(judged: JudgedRequest) -> float:
    request = rerank_request(judged)
    now = now_of(request.time, request.history, time.time)
    # Without a time of its own its newest event came before it.
    return now + _BEFORE if judged.time is None and request.history else now


def fingerprint(request: JudgedRequest, names: Pseudonyms) -> str:
    """Equal for requests of one shopper (else of one query text): what a fit has seen of them."""
    who = request.user or request.session
    text = f"user {names.user(who)}" if who else f"query {folded(request.query)}"
    return xxhash.xxh3_64_hexdigest(text.encode("utf-8", "surrogatepass"))


def was_fitted_on(request: JudgedRequest, fingerprints: frozenset[str], names: Pseudonyms) -> bool:
    """Whether a blend has seen it, under the keys of today or of before."""
    return bool(fingerprints) and any(
        fingerprint(request, names.at(generation)) in fingerprints
        for generation in range(names.generation, 0, -1)
    )


class FittedOn:
    """Counts requests that a blend was fitted on: its figures on them are too good."""

    def __init__(self, state: ServedState, blends: Iterable[NamedBlend]) -> None:
        self._seen = {
            one.name: fingerprints
            for one in blends
            if (fingerprints := state.store.fitted_on(one.blend.name, one.version))
        }
        self._names = state.keys.open() if self._seen else None
        self._counts: Counter[str] = Counter()

    def watched(self, requests: Iterable[JudgedRequest]) -> Iterator[JudgedRequest]:
        """The same requests, counted."""
        for request in requests:
            if self._names is not None:
                for label, fingerprints in self._seen.items():
                    self._counts[label] += was_fitted_on(request, fingerprints, self._names)
            yield request

    def counts(self) -> dict[str, int]:
        """By blend, those above 0."""
        return {label: count for label, count in self._counts.items() if count}
