"""requests.py: JSON from a search backend -> a typed request to re-rank."""

from typing import Annotated

import msgspec

from reranker.times import Timing

Time = float | str  # epoch seconds, or ISO 8601 with a zone

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One thing that a shopper did (DESIGN: events)."""

    type: str
    item: str | None = None
    query: str | None = None
    time: Time | None = None
    price: float | None = None
    quantity: float | None = None
    id: str | None = None
    user: str | None = None
    session: str | None = None
    ranking: str | None = None
    position: int | None = None


class Candidate(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """One item that the shop's own engine found."""

    id: Id
    score: float | None = None
    text: str | None = None


class RerankRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `POST /rerank` takes. The order of `candidates` is the engine's order."""

    candidates: list[Candidate]
    query: str = ""
    user: str | None = None
    session: str | None = None
    history: list[Event] | None = None
    blend: str | None = None
    weights: dict[str, float] = {}
    top_n: Annotated[int, msgspec.Meta(ge=0)] | None = None
    explain: bool = False
    personalize: bool = True
    budget_ms: Annotated[float, msgspec.Meta(gt=0)] | None = None
    time: Time | None = None


class JudgedRequest(msgspec.Struct, frozen=True):
    """One line of a requests file: what a backend would send, with the right answers.

    `ratings` gives grades from 0, possibly fractional, by item id. `shown`: the items of the list
    that was shown, in its order, where the ratings are what followed it; of other candidates
    nothing is known. Unknown keys are kept out, not
    refused: shops log more than we read. A file's times are read already: `time` is in epoch
    seconds, None where it is missing or implausible, as `timing` says.
    """

    candidates: list[Candidate]
    id: str = ""
    query: str = ""
    time: Time | None = None
    user: str | None = None
    session: str | None = None
    history: list[Event] | None = None
    ratings: dict[str, float] = {}
    shown: list[Id] | None = None
    timing: Timing | None = None  # None: nobody looked; a time is then taken as it stands

    @property
    def clock(self) -> Timing:
        """How far `time` can be relied on."""
        return self.timing or ("missing" if self.time is None else "known")
