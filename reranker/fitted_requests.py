"""fitted_requests.py: a judged request -> a short name, by which a blend knows it again."""

from collections import Counter
from collections.abc import Iterable, Iterator

import xxhash

from reranker.judgments import folded
from reranker.requests import JudgedRequest
from reranker.state import ServedState


def fingerprint(request: JudgedRequest) -> str:
    """Equal for requests of one shopper (else of one query text): what a fit has seen of them."""
    who = request.user or request.session
    text = f"user {who}" if who else f"query {folded(request.query)}"
    return xxhash.xxh3_64_hexdigest(text.encode("utf-8", "surrogatepass"))


class FittedOn:
    """Counts requests that a blend was fitted on: its figures on them are too good."""

    def __init__(self, state: ServedState, labels: Iterable[str]) -> None:
        found = {label: state.blend(label) for label in labels}
        self._seen = {
            label: seen
            for label, (blend, number) in found.items()
            if (seen := state.store.fitted_on(blend.name, number))
        }
        self._counts: Counter[str] = Counter()

    def watched(self, requests: Iterable[JudgedRequest]) -> Iterator[JudgedRequest]:
        """The same requests, counted."""
        for request in requests:
            if self._seen:
                name = fingerprint(request)
                self._counts.update(label for label, seen in self._seen.items() if name in seen)
            yield request

    def counts(self) -> dict[str, int]:
        """By blend, those above 0."""
        return dict(self._counts)
