"""foreign.py: a request in another format -> one of ours, ranked, and the answer in its format."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from flask import Response, g

from reranker.errors import BadRequest
from reranker.ranking.explanations import Explanation
from reranker.ranking.state import ServedState
from reranker.requests import RerankRequest, Time
from service.api.requests import Asked, RequestReader
from service.api.rerank import Begun, RerankAnswer, Reranking
from service.api.sent import Name, as_text
from service.formats.documents import Candidates, Document, as_candidates, read_document
from service.formats.settings import FormatSettings
from service.formats.shoppers import shopper_of
from service.http.answers import ErrorDetail, json_answer
from service.http.settings import LimitSettings

log = logging.getLogger("reranker")


class Foreign(NamedTuple):
    """What a request of another format says, in words of ours.

    model: its own word, which is a blend where formats.models says so; blend: one of ours. named:
    the id that the caller gives the ranking. sent: the request as its format decoded it.
    """

    query: str
    documents: list[Document]
    sent: Any
    top_n: int | None = None
    model: str | None = None
    blend: str | None = None
    user: str | None = None
    session: str | None = None
    time: Time | None = None
    explain: bool = False
    named: str | None = None


class Pair(NamedTuple):
    """A document in its new place: where it was sent, from 0, its score, and why."""

    place: int
    score: float
    explanation: Explanation | None = None


# Status and what went wrong, as ours -> as the format says it.
ErrorFormat = Callable[[int, ErrorDetail], tuple[int, Any]]


class Format(NamedTuple):
    """One format. error: what an answer with a status from 400 on says, and its status there."""

    name: str
    read: Callable[[bytes], Foreign]
    write: Callable[[Foreign, RerankAnswer, list[Pair]], Any]
    error: ErrorFormat
    ids_only: bool = False  # its documents are items, and have their shopper beside them


class Translator:
    """Answers requests of every format as `POST /rerank` answers its own."""

    def __init__(
        self,
        reranking: Reranking,
        reader: RequestReader,
        limits: LimitSettings,
        settings: FormatSettings,
    ) -> None:
        self._reranking, self._reader = reranking, reader
        self._limits, self._settings = limits, settings

    def begin(self) -> Begun:
        """Before anything of the request is read."""
        return self._reranking.begin()

    def answer(self, format_: Format, route: str, body: bytes, begun: Begun) -> Response:
        """The answer in this format; what is wrong is raised, and told in this format, too."""
        g.error_format = format_
        with begun.stages("read"):
            foreign = format_.read(body)
            self._refuse_more(len(foreign.documents))
            documents = as_candidates(
                foreign.documents,
                "id" if format_.ids_only else self._settings.mode_of(route),
                self._settings.id_share,
                lambda names: _known(begun.state, names),
            )
            asked = self._asked(foreign, documents, format_.ids_only)

        def write(answer: RerankAnswer) -> Response:
            pairs = documents.spread(answer.results, foreign.top_n)
            placed = [Pair(place, item.score, item.explanation) for place, item in pairs]
            return json_answer(format_.write(foreign, answer, placed))

        return self._reranking.finish(begun, asked, write, foreign.named)

    def _refuse_more(self, documents: int) -> None:
        most = self._limits.candidates
        if documents > most:
            raise BadRequest(f"{documents:,} documents were sent; at most {most:,} are allowed.")

    def _asked(self, foreign: Foreign, documents: Candidates, named: bool) -> Asked:
        shopper = shopper_of(foreign.query, named_beside=named)
        model = self._settings.blend_of(foreign.model) if foreign.model else None
        return self._reader.asked(
            RerankRequest(
                documents.candidates,
                query=shopper.query,
                user=foreign.user or shopper.user,
                session=foreign.session or shopper.session,
                blend=self._settings.blend_of(foreign.blend or "")
                or foreign.blend
                or shopper.blend
                or model,
                top_n=foreign.top_n,
                explain=foreign.explain,
                personalize=shopper.personalize,
                time=foreign.time,
            )
        )


def _known(state: ServedState, names: list[str]) -> list[bool]:
    """Which ids the index holds; none where it cannot be read, which the ranking then says."""
    try:
        known: list[bool] = (state.index.rows(names) >= 0).tolist()
        return known
    except Exception:
        log.exception("the ids of documents cannot be looked up")
        return [False] * len(names)


def read_documents(
    raws: Sequence[msgspec.Raw], field: str, chosen: Sequence[str] | None = None
) -> list[Document]:
    """The documents of a list of this name; BadRequest where there is none."""
    if not raws:
        raise BadRequest(f"{field} must not be empty.", field=field)
    return [read_document(raw, f"{field}[{place}]", chosen) for place, raw in enumerate(raws)]


def query_of(sent: Name) -> str:
    """A query, which may have been sent as a number."""
    return "" if sent is None else sent if isinstance(sent, str) else as_text(sent)


def warnings_of(answer: RerankAnswer) -> list[str]:
    """What could not be done for this answer, for people."""
    return [
        f"{part.signal}: {part.reason}" + (f" ({part.count} documents)" if part.count else "")
        for part in answer.degraded
    ]


UNPROCESSABLE: Final = 422
BAD_REQUEST: Final = 400
