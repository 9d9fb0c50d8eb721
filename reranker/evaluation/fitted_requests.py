"""fitted_requests.py: a judged request -> a short name, by which a blend knows it again.

The name of a shopper is made with the home's keys: without them nobody can try names.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import xxhash

from indexes.items.words import folded
from reranker.pseudonyms.pseudonyms import Pseudonyms
from reranker.ranking.state import NamedBlend, ServedState
from reranker.requests import JudgedRequest


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
