"""doctor_opensearch.py: OpenSearch -> two settings, a connector, a model, a search pipeline."""

import re
from collections.abc import Iterator
from typing import Any, Final

from service.commands.doctor_engines import (
    Connection,
    Request,
    as_command,
    ask,
    engine_finding,
    is_private,
    made,
    service_findings,
)
from service.commands.doctor_findings import Finding

TRUSTED: Final = "plugins.ml_commons.trusted_connector_endpoints_regex"
PRIVATE: Final = "plugins.ml_commons.connector.private_ip_enabled"
_SETTINGS: Final = "_cluster/settings"
_TEXTS: Final = ["red shoes", "tea kettle"]


def opensearch_findings(connection: Connection) -> Iterator[Finding]:
    """Everything between the engine and this service, in the order in which it is needed."""
    engine, _ = engine_finding(connection, "OpenSearch")
    yield engine
    yield from service_findings(connection)
    if engine.state == "fail":
        return
    for finding in _settings(connection):
        yield finding
        if finding.state == "fail":
            return
    connector, connector_id = _connector(connection)
    yield connector
    if connector_id is None:
        return
    model, model_id = _model(connection, connector_id)
    yield model
    if model_id is None:
        return
    yield _answer(connection, model_id)
    yield _pipeline(connection, model_id)


def _settings(connection: Connection) -> Iterator[Finding]:
    """The two that stand in the way of every connector to a service of one's own."""
    path = f"{_SETTINGS}?include_defaults=true&flat_settings=true"
    asked = ask(connection, Request("GET", path))
    if not asked.well:
        do = "The account needs the right to read and change the cluster's settings."
        yield Finding("trusted", "fail", f"{_SETTINGS} cannot be read: {asked.reason}", do)
        return
    groups = [asked.answer.get(name) or {} for name in ("defaults", "persistent", "transient")]
    current: dict[str, Any] = {name: value for group in groups for name, value in group.items()}
    url, trusted = f"{connection.service}/v2/rerank", _as_list(current.get(TRUSTED))
    if any(_matches(pattern, url) for pattern in trusted):
        yield Finding("trusted", "ok", f"connectors may ask {connection.service}")
    else:
        change = {TRUSTED: [*trusted, f"^{re.escape(connection.service)}/.*$"]}
        yield made(connection, "trusted", _persistent(change), f"{TRUSTED} for {url}")
    if str(current.get(PRIVATE)).lower() == "true":
        yield Finding("private", "ok", "connectors may ask private addresses")
    elif not is_private(connection.service):
        yield Finding("private", "ok", f"{connection.service} is no private address")
    else:
        yield made(connection, "private", _persistent({PRIVATE: True}), f"{PRIVATE} = true")


def _persistent(change: dict[str, Any]) -> Request:
    return Request("PUT", _SETTINGS, {"persistent": change})


def _as_list(value: Any) -> list[str]:
    if isinstance(value, str):
        return [part.strip(' "') for part in value.strip("[]").split(",") if part.strip()]
    return [str(part) for part in value or ()]


def _matches(pattern: str, url: str) -> bool:
    try:
        return re.fullmatch(pattern, url) is not None
    except re.error:
        return False


def connector_body(service: str, name: str, key: str | None) -> dict[str, Any]:
    """What makes the connector: the recipe of docs/clients.md."""
    fields = ", ".join(
        (
            '"documents": ${parameters.documents}',
            '"query": "${parameters.query}"',
            '"model": "${parameters.model}"',
            '"top_n": ${parameters.top_n}',
        )
    )
    return {
        "name": name,
        "description": "Re-ranking by the shop's own service",
        "version": "1",
        "protocol": "http",
        "credential": {"key": key or "none"},
        "parameters": {"model": "default"},
        "actions": [
            {
                "action_type": "predict",
                "method": "POST",
                "url": f"{service}/v2/rerank",
                "headers": {"Authorization": "Bearer ${credential.key}"} if key else {},
                "request_body": f"{{ {fields} }}",
                "pre_process_function": "connector.pre_process.cohere.rerank",
                "post_process_function": "connector.post_process.cohere.rerank",
            }
        ],
    }


def pipeline_body(model: str, id_field: str) -> dict[str, Any]:
    """What makes the search pipeline: the recipe of docs/clients.md."""
    rerank = {
        "ml_opensearch": {"model_id": model},
        "context": {"document_fields": [id_field]},
        "ignore_failure": True,
    }
    return {"response_processors": [{"rerank": rerank}]}


def _connector(connection: Connection) -> tuple[Finding, str | None]:
    url = f"{connection.service}/v2/rerank"
    for name, source in _named(connection, "connectors"):
        if any(action.get("url") == url for action in source.get("actions") or ()):
            return Finding("connector", "ok", f"{connection.name!r} asks {url}"), name
    body = connector_body(connection.service, connection.name, connection.key)
    request = Request("POST", "_plugins/_ml/connectors/_create", body)
    return _created(connection, "connector", request, "connector_id")


def _model(connection: Connection, connector: str) -> tuple[Finding, str | None]:
    for name, source in _named(connection, "models"):
        if source.get("connector_id") != connector:
            continue
        if source.get("model_state") == "DEPLOYED":
            return Finding("model", "ok", f"{connection.name!r} ({name}) is deployed"), name
        deploy = Request("POST", f"_plugins/_ml/models/{name}/_deploy")
        finding = made(connection, "model", deploy, f"the deployment of model {name}")
        return finding, name if finding.state == "ok" else None
    body = {"name": connection.name, "function_name": "remote", "connector_id": connector}
    request = Request("POST", "_plugins/_ml/models/_register?deploy=true", body)
    return _created(connection, "model", request, "model_id")


def _named(connection: Connection, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ids and sources of what is there under our name."""
    query = {"query": {"term": {"name.keyword": connection.name}}, "size": 100}
    asked = ask(connection, Request("POST", f"_plugins/_ml/{kind}/_search", query))
    if not asked.well or not isinstance(asked.answer, dict):  # no index of them yet
        return
    for hit in (asked.answer.get("hits") or {}).get("hits") or ():
        source = hit.get("_source") or {}
        if source.get("name") == connection.name:
            yield str(hit.get("_id")), source


def _created(
    connection: Connection, check: str, request: Request, id_key: str
) -> tuple[Finding, str | None]:
    """The same as `made`, with the id that the engine gave."""
    command, what = as_command(connection, request), f"the {check} {connection.name!r}"
    if connection.look:
        return Finding(check, "fail", f"{what} is missing", f"Send: {command}"), None
    asked = ask(connection, request)
    made_id = asked.answer.get(id_key) if isinstance(asked.answer, dict) else None
    if asked.well and made_id:
        return Finding(check, "ok", f"{what} is made: {made_id}"), str(made_id)
    refused = f"{what} is missing, and making it was refused: {asked.reason}"
    return Finding(check, "fail", refused, f"Send, with the rights for it: {command}"), None


def _answer(connection: Connection, model: str) -> Finding:
    body = {"query_text": "red shoes", "text_docs": _TEXTS}
    request = Request("POST", f"_plugins/_ml/_predict/text_similarity/{model}", body)
    asked = ask(connection, request)
    results = asked.answer.get("inference_results") if isinstance(asked.answer, dict) else None
    if asked.well and isinstance(results, list) and results:
        return Finding("answer", "ok", "re-ranked through the engine")
    do = (
        f"The engine has to reach {connection.service}, and the connector has to have its key "
        f"(made with another? --name). Try: {as_command(connection, request)}"
    )
    return Finding("answer", "fail", f"no ranking came through the engine: {asked.reason}", do)


def _pipeline(connection: Connection, model: str) -> Finding:
    path = f"_search/pipeline/{connection.name}"
    request = Request("PUT", path, pipeline_body(model, connection.id_field))
    asked = ask(connection, Request("GET", path))
    there = asked.answer.get(connection.name) if asked.well else None
    if there is None:
        return made(connection, "pipeline", request, f"the search pipeline {connection.name!r}")
    if there.get("response_processors") != request.body["response_processors"]:
        do = f"Use another --name, or send: {as_command(connection, request)}"
        message = f"{connection.name!r} is there and does something else"
        return Finding("pipeline", "fail", message, do)
    search = f"items/_search?search_pipeline={connection.name}"
    return Finding("pipeline", "ok", f"{connection.name!r} reads {connection.id_field}; {search}")
