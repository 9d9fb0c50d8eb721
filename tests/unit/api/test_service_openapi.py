"""/openapi.json: a valid document, with the limits in force, that the service keeps to."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from support.paths import ROOT
from support.shop import copy_home

from indexes.workspace import Workspace
from reranker.signals.registry import SIGNALS
from service.access.keys import KeyFile
from service.app import create_app

if TYPE_CHECKING:  # two seconds of work in each of the suite's processes
    from schemathesis import Case
    from schemathesis.specs.openapi.schemas import OpenApiSchema

# A schema cannot say "ids differ", "a blend that exists" or "31 June": those are 422, too.
POSITIVE_CHECK = {"positive_data_acceptance": {"expected-statuses": ["2xx", "422"]}}
# An event that is wrong is no wrong request: the answer is 200, and its `rejected` says why.
NEGATIVE_CHECK = {"negative_data_rejection": {"expected-statuses": ["200", "4xx"]}}
# Other formats say 400 to what we say 422 to.
FOREIGN_CHECK = {"positive_data_acceptance": {"expected-statuses": ["2xx", "400", "422"]}}
CONFIG = {
    "checks": POSITIVE_CHECK,
    "operations": [
        *(
            {"include-path": path, "checks": POSITIVE_CHECK | NEGATIVE_CHECK}
            for path in ("/events", "/items", "/rerank/batch")
        ),
        *({"include-path": path, "checks": FOREIGN_CHECK} for path in ("/v1/rerank", "/v2/rerank")),
    ],
}

EXAMPLES = 100
POSTS = (
    *("/rerank", "/rerank/batch", "/v1/rerank", "/v2/rerank"),
    *("/events", "/items", "/next-action", "/cart", "/recommend"),
)
OURS = (
    *("/rerank", "/rerank/batch", "/events", "/items"),
    *("/next-action", "/cart", "/recommend"),
)
MODES = ("positive", "negative")


@pytest.fixture(scope="session")
def described(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> "OpenApiSchema":
    """Of a service of its own: the events that are sent to it stay in its home."""
    return schema_of(copy_home(shop_home, tmp_path_factory.mktemp("described") / "home"))


def schema_of(home: Path, **options: Any) -> "OpenApiSchema":
    """What a service on this home says of itself."""
    from schemathesis import openapi
    from schemathesis.config import SchemathesisConfig

    config = SchemathesisConfig.from_dict(CONFIG)
    app = create_app(Workspace(home))
    return openapi.from_wsgi("/openapi.json", app, config=config, **options)


def cases(schema: "OpenApiSchema", path: str, mode: str) -> Any:
    """Requests to this path: as it is described, or not (mode "negative")."""
    from schemathesis.generation import GenerationMode

    operation = schema[path]["POST" if path in POSTS else "GET"]
    return operation.as_strategy(generation_mode=GenerationMode(mode))


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        *((path, mode) for path in POSTS for mode in MODES),
        *(("/users/{user}/churn", mode) for mode in MODES),
        # A GET without parameters has nothing that could be sent wrongly.
        *(
            (path, "positive")
            for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/trending")
        ),
    ],
)
def test_the_service_keeps_to_its_description(
    described: "OpenApiSchema", path: str, mode: str
) -> None:
    """All of schemathesis' checks."""

    @given(cases(described, path, mode))
    @settings(
        max_examples=EXAMPLES if path in OURS else 25 if path in POSTS else 3,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def keeps(case: "Case") -> None:
        case.call_and_validate()

    keeps()


@pytest.mark.heavy
@pytest.mark.promise(22)
@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("mode", MODES)
def test_five_thousand_requests_each_keep_to_the_description(
    described: "OpenApiSchema", path: str, mode: str, record_property: Any
) -> None:
    record_property("runs", 5000)

    @given(cases(described, path, mode))
    @settings(
        max_examples=5000, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def keeps(case: "Case") -> None:
        case.call_and_validate()

    keeps()


@pytest.mark.promise(22)
@pytest.mark.parametrize("path", [*POSTS, "/metrics", "/openapi.json"])
def test_with_keys_it_keeps_to_its_description_too(
    shop_home: Path, tmp_path: Path, path: str
) -> None:
    """schemathesis' check `ignored_auth` asks without the key, and with a wrong one, too."""
    home = copy_home(shop_home, tmp_path / "home")
    key, _ = KeyFile(home).create("all", ("admin",))
    headers = {"Authorization": f"Bearer {key}"}
    schema = schema_of(home, headers=headers)

    @given(cases(schema, path, "positive"))
    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def keeps(case: "Case") -> None:
        case.call_and_validate(headers=headers)

    keeps()


def test_the_document_carries_limits_signals_and_the_error_shape(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    schemas = document["components"]["schemas"]
    asked = schemas["RerankRequest"]["properties"]
    assert document["openapi"] == "3.1.0"
    assert asked["candidates"]["maxItems"] == 5000
    weights = next(part for part in asked["weights"]["anyOf"] if part["type"] == "object")
    assert weights["propertyNames"]["enum"] == list(SIGNALS)
    assert set(schemas["ErrorDetail"]["properties"]) == {"code", "message", "field"}
    answers = document["paths"]["/rerank"]["post"]["responses"]
    assert set(answers) == {
        *("200", "400", "401", "403", "413", "415", "421", "422", "429", "500", "503"),
    }


def test_every_route_is_described(app: Flask, client: FlaskClient) -> None:
    described = client.get("/openapi.json").get_json()["paths"]
    rules = [rule for rule in app.url_map.iter_rules() if not rule.endpoint.startswith("page.")]
    addresses = {re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule) for rule in rules}
    assert addresses == set(described)  # the page's are for browsers alone


def test_the_example_in_the_docs_is_what_happens(client: FlaskClient) -> None:
    page = (ROOT / "docs" / "http.md").read_text()
    request, answer = (
        json.loads(re.search(rf"<!-- example: {what} -->\n```json\n(.*?)```", page, re.S)[1])
        for what in ("request", "answer")
    )
    found = client.post("/rerank", json=request).get_json()
    assert shape(found) == shape(answer)
    assert [result["id"] for result in found["results"]] == ["x9", "7"]
    for result in answer["results"]:
        total = sum(result["explanation"]["contributions"].values())
        assert abs(total - result["score"]) < 0.003  # the page shows three digits


def shape(value: Any) -> Any:
    """Keys and types, all the way down."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    return [shape(part) for part in value] if isinstance(value, list) else type(value).__name__
