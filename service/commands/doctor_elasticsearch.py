"""doctor_elasticsearch.py: Elasticsearch -> its inference endpoint that is this service."""

from collections.abc import Iterator
from typing import Any, Final

from service.commands.doctor_engines import (
    Connection,
    Request,
    as_command,
    ask,
    engine_finding,
    made,
    service_findings,
)
from service.commands.doctor_findings import Finding

_SINCE: Final = {8: 19, 9: 1}  # minor versions that know the service `custom`
_TEXTS: Final = ["red shoes", "tea kettle"]


def elasticsearch_findings(connection: Connection) -> Iterator[Finding]:
    """The engine, this service, the endpoint between them, and an answer through it."""
    engine, version = engine_finding(connection, "Elasticsearch")
    yield engine
    yield from service_findings(connection)
    if engine.state == "fail":
        return
    if version and version[1] < _SINCE.get(version[0], 0 if version[0] > 9 else 1_000):
        yield Finding(
            "endpoint",
            "fail",
            "this version has no inference service `custom` (8.19, 9.1 and later have)",
            f"Use `reranker proxy --elasticsearch {connection.engine.address}` instead.",
        )
        return
    endpoint = _endpoint(connection)
    yield endpoint
    if endpoint.state == "ok":
        yield _answer(connection)


def endpoint_body(service: str, key: str | None) -> dict[str, Any]:
    """What makes the endpoint: the recipe of docs/clients.md."""
    headers = {"Authorization": "Bearer ${api_key}"} if key else {}
    secrets = {"secret_parameters": {"api_key": key or "none"}}
    return {
        "service": "custom",
        "service_settings": secrets
        | {
            "url": f"{service}/v2/rerank",
            "headers": headers | {"Content-Type": "application/json"},
            "request": '{"model": "default", "query": ${query}, "documents": ${input}}',
            "response": {
                "json_parser": {
                    "relevance_score": "$.results[*].relevance_score",
                    "reranked_index": "$.results[*].index",
                }
            },
        },
    }


def _endpoint(connection: Connection) -> Finding:
    path = f"_inference/rerank/{connection.name}"
    body = endpoint_body(connection.service, connection.key)
    asked = ask(connection, Request("GET", path))
    if asked.status == 404:
        what = f"the inference endpoint {connection.name!r}"
        return made(connection, "endpoint", Request("PUT", path, body), what)
    if not asked.well:
        do = "The account needs the cluster privilege manage_inference."
        return Finding("endpoint", "fail", f"{path} cannot be read: {asked.reason}", do)
    [*_, found] = asked.answer.get("endpoints") or [{}]
    url = (found.get("service_settings") or {}).get("url")
    if url != body["service_settings"]["url"]:
        steps = (Request("DELETE", path), Request("PUT", path, body))
        do = f"Use another --name, or send: {'; '.join(as_command(connection, s) for s in steps)}"
        return Finding("endpoint", "fail", f"{connection.name!r} is there and asks {url}", do)
    return Finding("endpoint", "ok", f"the inference endpoint {connection.name!r} asks {url}")


def _answer(connection: Connection) -> Finding:
    body = {"query": "red shoes", "input": _TEXTS}
    request = Request("POST", f"_inference/rerank/{connection.name}", body)
    asked = ask(connection, request)
    ranked = asked.answer.get("rerank") if isinstance(asked.answer, dict) else None
    if asked.well and isinstance(ranked, list) and len(ranked) == len(_TEXTS):
        retriever = f'{{"text_similarity_reranker": {{"inference_id": "{connection.name}", ...}}}}'
        return Finding("answer", "ok", f"re-ranked through the engine; search with {retriever}")
    do = (
        f"The engine has to reach {connection.service}, and the endpoint has to have its key (made "
        f"with another? --name). Try: {as_command(connection, request)}"
    )
    return Finding("answer", "fail", f"no ranking came through the engine: {asked.reason}", do)
