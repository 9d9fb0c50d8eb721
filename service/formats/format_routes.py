"""format_routes.py: the addresses of other formats -> their answers."""

from collections.abc import Callable
from typing import Final

import msgspec
from flask import Blueprint, Response, g, request

from indexes.release import VERSION
from service.api.health import readiness
from service.api.rerank import Begun
from service.formats.cohere import COHERE_V1, COHERE_V2, CohereError, cohere_error
from service.formats.foreign import ErrorFormat, Format, Translator
from service.formats.infinity import INFINITY
from service.formats.jina import JINA
from service.formats.tei import TEI, tei_info
from service.formats.voyage import VOYAGE
from service.http.answers import ErrorDetail, json_answer
from service.http.received import read_body, refuse_long_lists
from service.http.settings import LimitSettings
from service.live.reload import Served

# Every route that re-ranks, as it is counted.
SEARCHES: Final = frozenset(
    ("/rerank", "/v1/rerank", "/v2/rerank", "/jina/v1/rerank", "/voyage/v1/rerank", "/rank/<model>")
)
_VOYAGE_MODELS: Final = ("rerank-2", "rerank-1", "rerank-lite", "voyage")
_JINA_MODELS: Final = ("jina-", "jinaai/")


class VersionOneError(CohereError, frozen=True):
    """Of whoever is refused before it is known who asks: Cohere's, and Jina's and Voyage's."""

    detail: str


def _version_1_error(status: int, detail: ErrorDetail) -> tuple[int, VersionOneError]:
    status, error = cohere_error(status, detail)
    return status, VersionOneError(error.message, error.message)


# What is refused at the door (key, rate) says so as the format of its address does.
AT_THE_DOOR: Final[dict[str, ErrorFormat]] = {
    "/v2/rerank": COHERE_V2.error,
    "/v1/rerank": _version_1_error,
    "/jina/v1/rerank": JINA.error,
    "/voyage/v1/rerank": VOYAGE.error,
}


class _Probe(msgspec.Struct):
    """What tells the formats of one address apart."""

    model: msgspec.Raw = msgspec.Raw()
    top_k: msgspec.Raw = msgspec.Raw()
    truncation: msgspec.Raw = msgspec.Raw()
    max_chunk_per_doc: msgspec.Raw = msgspec.Raw()


_probe: Final = msgspec.json.Decoder(_Probe)


def format_routes(translator: Translator, limits: LimitSettings, served: Served) -> Blueprint:
    """The routes that clients of other services call."""
    routes = Blueprint("formats", __name__)

    def answered(choose: Callable[[bytes], Format], first: Format) -> Response:
        g.error_format = first
        begun = translator.begin()
        with begun.stages("read"):
            body = read_body(limits.body_bytes)
            format_ = g.error_format = choose(body)
            refuse_long_lists(body, {"documents": limits.candidates})
        return translator.answer(format_, str(request.url_rule), body, begun)

    @routes.post("/v2/rerank")
    def cohere_v2() -> Response:
        return answered(lambda _body: COHERE_V2, COHERE_V2)

    @routes.post("/v1/rerank")
    def version_1() -> Response:
        return answered(of_version_1, COHERE_V1)

    @routes.post("/voyage/v1/rerank")
    def voyage() -> Response:
        return answered(lambda _body: VOYAGE, VOYAGE)

    @routes.post("/jina/v1/rerank")
    def jina() -> Response:
        return answered(lambda _body: JINA, JINA)

    @routes.get("/info")
    def info() -> Response:
        state = served.state
        most = limits.candidates
        return json_answer(
            tei_info(state.published.name, state.index.version, most, limits.text_chars, VERSION)
        )

    @routes.get("/health")
    def health() -> Response:
        g.error_format = TEI
        return readiness(served)

    return routes


def of_version_1(body: bytes) -> Format:
    """Cohere, Jina or Voyage: they share an address. What fits none of the others is Cohere's."""
    try:
        probe = _probe.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return COHERE_V1
    model = bytes(probe.model).strip(b'"').decode(errors="replace")
    if any(map(bytes, (probe.top_k, probe.truncation))) or model.startswith(_VOYAGE_MODELS):
        return VOYAGE
    if bytes(probe.max_chunk_per_doc) or model.startswith(_JINA_MODELS):
        return JINA
    return COHERE_V1


def sharing_our_address(
    translator: Translator, limits: LimitSettings
) -> Callable[[bytes], Callable[[Begun], Response] | None]:
    """What answers a body of `POST /rerank` that is not ours; None where it is no other's.

    Ours has `candidates`, TEI's `texts`, infinity's `documents`.
    """

    def others(body: bytes) -> Callable[[Begun], Response] | None:
        format_ = _of_our_address(body)
        if format_ is None:
            return None

        def answered(begun: Begun) -> Response:
            g.error_format = format_
            most = limits.candidates
            refuse_long_lists(body, {"texts": most, "documents": most})
            return translator.answer(format_, str(request.url_rule), body, begun)

        return answered

    return others


class _Lists(msgspec.Struct):
    candidates: msgspec.Raw = msgspec.Raw()
    texts: msgspec.Raw = msgspec.Raw()
    documents: msgspec.Raw = msgspec.Raw()


_lists: Final = msgspec.json.Decoder(_Lists)


def _of_our_address(body: bytes) -> Format | None:
    try:
        lists = _lists.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if bytes(lists.candidates):
        return None
    if bytes(lists.texts):
        return TEI
    return INFINITY if bytes(lists.documents) else None
