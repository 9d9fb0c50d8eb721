"""engine_plugins.py: an engine with the parts that call a re-ranker, as they are documented.

Each calls the address that it was given, with the body that its template makes, and fails as the
engines do: an address that is not trusted, a private one, a missing endpoint.
"""

import json
import re
import urllib.error
import urllib.request
from string import Template
from typing import Any

from support.engine import Answer, Asked, Engine

TRUSTED = "plugins.ml_commons.trusted_connector_endpoints_regex"
PRIVATE = "plugins.ml_commons.connector.private_ip_enabled"


def filled(template: str, **values: str) -> str:
    """${parameters.query}, ${query} -> the value, as it stands."""
    plain = re.sub(r"\$\{(?:parameters|credential)\.(\w+)\}", r"${\1}", template)
    return Template(plain).substitute(values)


def called(url: str, headers: dict[str, str], body: str) -> Answer:
    request = urllib.request.Request(url, body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def failure(status: int, reason: str) -> Answer:
    return status, {"error": {"type": "x", "reason": reason}, "status": status}


class Elasticsearch(Engine):
    """With inference endpoints of the service `custom`."""

    def __init__(self, number: str = "9.1.0") -> None:
        super().__init__({})
        self.endpoints: dict[str, dict[str, Any]] = {}
        root = {"cluster_name": "c", "version": {"number": number}}
        self.routes = {
            "GET /": lambda _asked: (200, root),
            "PUT /_inference/rerank/shop": self._put,
            "GET /_inference/rerank/shop": self._get,
            "POST /_inference/rerank/shop": self._rerank,
        }

    def _put(self, asked: Asked) -> Answer:
        self.endpoints["shop"] = json.loads(asked.body)
        return 200, {"inference_id": "shop"}

    def _get(self, _asked: Asked) -> Answer:
        if "shop" not in self.endpoints:
            return failure(404, "Inference endpoint not found [shop]")
        settings = dict(self.endpoints["shop"]["service_settings"])
        del settings["secret_parameters"]  # never shown
        found = {"inference_id": "shop", "service": "custom", "service_settings": settings}
        return 200, {"endpoints": [found]}

    def _rerank(self, asked: Asked) -> Answer:
        sent = json.loads(asked.body)
        settings = self.endpoints["shop"]["service_settings"]
        secrets = settings["secret_parameters"]
        body = filled(
            settings["request"], query=json.dumps(sent["query"]), input=json.dumps(sent["input"])
        )
        headers = {name: filled(value, **secrets) for name, value in settings["headers"].items()}
        status, answer = called(settings["url"], headers, body)
        if status != 200:
            return failure(400, f"Received status code [{status}]: {answer}")
        rows = answer["results"]
        return 200, {"rerank": [{k: row[k] for k in ("index", "relevance_score")} for row in rows]}


class OpenSearch(Engine):
    """With connectors, remote models and search pipelines."""

    def __init__(self) -> None:
        super().__init__({})
        self.settings: dict[str, Any] = {}
        self.connectors: dict[str, dict[str, Any]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.pipelines: dict[str, Any] = {}
        version = {"number": "3.2.0", "distribution": "opensearch"}
        default = {TRUSTED: ["^https://api\\.cohere\\.ai/.*$"], PRIVATE: "false"}
        self.routes = {
            "GET /": lambda _asked: (200, {"version": version}),
            "GET /_cluster/settings": lambda _asked: (
                200,
                {"persistent": self.settings, "transient": {}, "defaults": default},
            ),
            "PUT /_cluster/settings": self._set,
            "POST /_plugins/_ml/connectors/_search": lambda _asked: self._hits(self.connectors),
            "POST /_plugins/_ml/models/_search": lambda _asked: self._hits(self.models),
            "POST /_plugins/_ml/connectors/_create": self._create,
            "POST /_plugins/_ml/models/_register": self._register,
            "POST /_plugins/_ml/models/.*/_deploy": self._deploy,
            "POST /_plugins/_ml/_predict/text_similarity/.*": self._predict,
            "PUT /_search/pipeline/shop": self._put,
            "GET /_search/pipeline/shop": lambda _asked: (
                (200, self.pipelines) if self.pipelines else (404, {})
            ),
        }

    def _set(self, asked: Asked) -> Answer:
        self.settings |= json.loads(asked.body)["persistent"]
        return 200, {"acknowledged": True}

    def _hits(self, sources: dict[str, dict[str, Any]]) -> Answer:
        if not sources:
            return failure(404, "no such index [.plugins-ml-connector]")
        hits = [{"_id": name, "_source": source} for name, source in sources.items()]
        return 200, {"hits": {"hits": hits}}

    def _create(self, asked: Asked) -> Answer:
        body = json.loads(asked.body)
        trusted = self.settings.get(TRUSTED, ())
        if not any(re.fullmatch(pattern, body["actions"][0]["url"]) for pattern in trusted):
            return failure(
                400, "Connector URL is not matching the trusted connector endpoint regex"
            )
        name = f"connector{len(self.connectors)}"
        self.connectors[name] = body
        return 200, {"connector_id": name}

    def _register(self, asked: Asked) -> Answer:
        name = f"model{len(self.models)}"
        self.models[name] = json.loads(asked.body) | {"model_state": "DEPLOYED"}
        return 200, {"task_id": "t", "status": "CREATED", "model_id": name}

    def _deploy(self, asked: Asked) -> Answer:
        self.models[asked.path.split("/")[-2]]["model_state"] = "DEPLOYED"
        return 200, {"task_id": "t", "status": "COMPLETED"}

    def _predict(self, asked: Asked) -> Answer:
        sent, model = json.loads(asked.body), self.models[asked.path.rpartition("/")[2]]
        connector = self.connectors[model["connector_id"]]
        if str(self.settings.get(PRIVATE)).lower() != "true":
            return failure(400, "Remote inference host name has private ip address: 127.0.0.1")
        [action] = connector["actions"]
        body = filled(
            action["request_body"],
            documents=json.dumps(sent["text_docs"]),
            query=sent["query_text"],
            top_n=str(len(sent["text_docs"])),
            **connector["parameters"],
        )
        credential = connector["credential"]
        headers = {name: filled(value, **credential) for name, value in action["headers"].items()}
        status, answer = called(action["url"], headers, body)
        if status != 200:
            return failure(status or 502, str(answer))
        return 200, {"inference_results": [{"output": answer["results"]}]}

    def _put(self, asked: Asked) -> Answer:
        self.pipelines["shop"] = json.loads(asked.body)
        return 200, {"acknowledged": True}
