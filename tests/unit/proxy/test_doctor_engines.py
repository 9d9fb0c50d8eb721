"""`reranker doctor --elasticsearch | --opensearch`: what it makes, tries and says is missing."""

import json
import re
import shlex
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.engine import Engine, running_engine
from support.engine_plugins import PRIVATE, TRUSTED, Elasticsearch, OpenSearch
from support.paths import ROOT

from service.commands.cli import run
from service.commands.doctor_elasticsearch import endpoint_body
from service.commands.doctor_opensearch import connector_body, pipeline_body

PAGE = (ROOT / "docs" / "clients.md").read_text()


def recipe(name: str) -> Any:
    match = re.search(rf"<!-- recipe: {name} -->\n```json\n[A-Z]+ \S+\n(.*?)```", PAGE, re.S)
    assert match, name
    return json.loads(match[1])


@pytest.fixture
def doctor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setenv("RERANKER_KEY", "secret-of-ours")

    def asked(product: str, engine: Engine, *more: str) -> tuple[int, dict[str, Any], str]:
        args = ["--home", str(tmp_path / "h"), "doctor", f"--{product}", engine.url, *more]
        status = run([*args, "--json"])
        text = capsys.readouterr()
        findings = json.loads(text.out.splitlines()[-1])["findings"]
        return status, {finding["check"]: finding for finding in findings}, text.err

    return asked


def changes(engine: Engine) -> list[str]:
    """Requests that made something."""
    return [
        f"{asked.method} {asked.path}"
        for asked in engine.asked
        if asked.method != "GET"
        and not asked.path.endswith(("/_search", "rerank/shop"))
        and "_predict" not in asked.path
    ]


def states(findings: dict[str, Any]) -> dict[str, str]:
    return {check: finding["state"] for check, finding in findings.items()}


def test_elasticsearch_is_tied_and_tied_again(doctor: Any, service_url: str) -> None:
    with running_engine(Elasticsearch()) as engine:
        for _ in range(2):
            status, findings, _ = doctor("elasticsearch", engine, "--service", service_url)
            assert (status, set(states(findings).values())) == (0, {"ok"}), findings
        puts = [asked for asked in engine.asked if asked.method == "PUT"]
    assert len(puts) == 1
    body = json.loads(puts[0].body)
    assert body == endpoint_body(service_url, "secret-of-ours")
    assert "text_similarity_reranker" in findings["answer"]["message"]


def test_elasticsearch_says_what_is_missing(doctor: Any, service_url: str) -> None:
    with running_engine(Elasticsearch()) as engine:
        status, findings, shown = doctor(
            "elasticsearch", engine, "--service", service_url, "--look"
        )
        assert (status, findings["endpoint"]["state"], changes(engine)) == (1, "fail", [])
        assert "secret-of-ours" not in shown + json.dumps(findings)
        command = shlex.split(findings["endpoint"]["do"].removeprefix("Send: "))
        sent = command[command.index("-d") + 1].replace("KEY", "secret-of-ours")
        assert command[:3] == ["curl", "-X", "PUT"]
        request = urllib.request.Request(command[3], sent.encode(), method="PUT")
        with urllib.request.urlopen(request):  # what it says is what has to be sent
            status, findings, _ = doctor("elasticsearch", engine, "--service", service_url)
        assert status == 0
        elsewhere = doctor("elasticsearch", engine, "--service", "http://127.0.0.1:1")[1]
        assert elsewhere["service"]["state"] == "fail"
        assert "DELETE" in elsewhere["endpoint"]["do"]


@pytest.mark.parametrize(
    ("product", "engine", "check", "words"),
    [
        ("elasticsearch", Elasticsearch("8.11.0"), "endpoint", "reranker proxy"),
        ("elasticsearch", OpenSearch(), "engine", "doctor --opensearch"),
        ("opensearch", Elasticsearch(), "engine", "doctor --elasticsearch"),
    ],
)
def test_an_engine_of_another_kind(
    doctor: Any, service_url: str, product: str, engine: Engine, check: str, words: str
) -> None:
    with running_engine(engine):
        status, findings, _ = doctor(product, engine, "--service", service_url)
    assert status == 1 and words in findings[check]["do"]


def test_an_engine_that_refuses_or_is_down(doctor: Any, service_url: str) -> None:
    engine = Elasticsearch()
    with running_engine(engine):
        engine.routes = {"GET /": lambda _asked: (401, {"error": {"reason": "missing auth"}})}
        _, findings, _ = doctor("elasticsearch", engine, "--service", service_url)
        assert "RERANKER_ENGINE_AUTHORIZATION" in findings["engine"]["do"]
    status, findings, _ = doctor("elasticsearch", engine, "--service", service_url)
    assert status == 1 and "does not answer" in findings["engine"]["message"]


def test_opensearch_is_tied_and_tied_again(doctor: Any, service_url: str) -> None:
    with running_engine(OpenSearch()) as running:
        for _ in range(2):
            status, findings, _ = doctor("opensearch", running, "--service", service_url)
            assert (status, set(states(findings).values())) == (0, {"ok"}), findings
        assert len(changes(running)) == 5  # two settings, connector, model, pipeline
        engine: Any = running
        trusted = engine.settings[TRUSTED]
        assert "cohere" in trusted[0] and re.fullmatch(trusted[1], f"{service_url}/v2/rerank")
        assert engine.settings[PRIVATE] is True
        assert engine.pipelines["shop"] == pipeline_body("model0", "product_id")
        engine.models["model0"]["model_state"] = "UNDEPLOYED"
        assert doctor("opensearch", running, "--service", service_url)[0] == 0
        assert engine.models["model0"]["model_state"] == "DEPLOYED"


def test_opensearch_says_what_is_missing(doctor: Any, service_url: str) -> None:
    with running_engine(OpenSearch()) as engine:
        _, findings, _ = doctor("opensearch", engine, "--service", service_url, "--look")
        assert findings["trusted"]["state"] == "fail" and changes(engine) == []
        assert TRUSTED in findings["trusted"]["do"]
        refused = (403, {"error": {"reason": "no permissions for [cluster:admin/settings]"}})
        engine.routes["PUT /_cluster/settings"] = lambda _asked: refused
        _, findings, _ = doctor("opensearch", engine, "--service", service_url)
        assert "no permissions" in findings["trusted"]["message"]
        assert "curl -X PUT" in findings["trusted"]["do"] and "connector" not in findings


def test_the_recipes_are_what_is_made() -> None:
    service = "http://SERVICE"
    assert recipe("elasticsearch custom") == endpoint_body(service, "KEY")
    assert recipe("opensearch connector") == connector_body(service, "shop", "KEY")
    assert recipe("opensearch pipeline") == pipeline_body("MODEL", "product_id")
