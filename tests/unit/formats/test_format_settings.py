"""The section [formats]: ids or texts, and what models are called."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.shop import PATIENT

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.ranking.settings import RankingSettings
from service.app import create_app
from service.formats.documents import Document, as_candidates
from service.formats.settings import FormatSettings

SENT = {"query": "running shoes", "documents": ["40", "0"]}  # ids of a lamp and of running shoes


def client_of(home: Path, **settings: Any) -> FlaskClient:
    sections = {FormatSettings: FormatSettings(**settings), RankingSettings: PATIENT}
    return create_app(Workspace(home, sections)).test_client()


def order(client: FlaskClient, route: str, sent: dict[str, Any] = SENT) -> list[int]:
    answer = client.post(route, json=sent)
    assert answer.status_code == 200, answer.text
    return [result["index"] for result in answer.get_json()["results"]]


def test_formats_documents_and_documents_of(shop_home: Path) -> None:
    assert order(client_of(shop_home), "/v2/rerank") == [1, 0]
    texts = client_of(shop_home, documents="text", documents_of=("/v1/rerank=id",))
    answer = texts.post("/v2/rerank", json=SENT | {"documents": ["zebra", "running shoes"]})
    assert answer.get_json()["results"][0]["index"] == 1
    assert order(texts, "/v1/rerank") == [1, 0]
    unknown = {"query": "running shoes", "documents": ["zebra", "running shoes"]}
    ids = client_of(shop_home, documents="id")
    assert order(ids, "/v2/rerank", unknown) == [0, 1], "nothing is known of either: engine's order"
    for wrong in ("/v2/rerank", "/v2/rerank=ids", "v2=id"):
        with pytest.raises(Failure, match="formats.documents_of"):
            FormatSettings(documents_of=(wrong,))


def test_formats_id_share() -> None:
    documents = [Document(name) for name in ("1", "2", "red shoes", "blue shoes", "lamp")]

    def ids(share: float) -> list[str]:
        found = as_candidates(documents, "auto", share, lambda names: [n.isdigit() for n in names])
        return [candidate.id for candidate in found.candidates if candidate.text is None]

    assert ids(0.4) == ["1", "2"] and ids(0.5) == []


def test_formats_models(own_home: Path) -> None:
    named = SENT | {"model": "their-model"}
    assert order(client_of(own_home), "/v2/rerank", named) == [1, 0], "the published blend"
    client = client_of(own_home, models=("their-model=nobody",))
    answer = client.post("/v2/rerank", json=named)
    assert answer.status_code == 400 and "nobody" in answer.get_json()["message"]
    with pytest.raises(Failure, match="formats.models"):
        FormatSettings(models=("x",))
