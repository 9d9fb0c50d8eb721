"""engine.py: a small server that answers in Elasticsearch's and OpenSearch's documented shapes."""

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

# What has to come back to the digit, whoever passes it on.
AGGREGATIONS = '{"prices":{"value":12345678901234567890.10,"empty":[],"größe":1e400}}'


class Asked(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


Answer = tuple[int, Any]
Route = Callable[[Asked], Answer]


class Engine:
    """hits: ids of the index in the order of their scores, and their sources. routes: regular
    expressions of `METHOD /path` with what answers them, before all others."""

    def __init__(self, sources: dict[str, dict[str, Any]]) -> None:
        self.sources = sources
        self.asked: list[Asked] = []
        self.routes: dict[str, Route] = {}
        self.url = ""

    def answer(self, asked: Asked) -> tuple[int, str, bytes]:
        self.asked.append(asked)
        line = f"{asked.method} {asked.path}"
        for pattern, route in self.routes.items():
            if re.fullmatch(pattern, line):
                status, payload = route(asked)
                return status, "application/json", json.dumps(payload).encode()
        if asked.path.endswith("/_search") or asked.path == "/_search":
            return self._searched(asked)
        if asked.path.endswith("/_msearch"):
            bodies = [line for line in asked.body.split(b"\n") if line.strip()][1::2]
            parts = [self._search(json.loads(body), {}) for body in bodies]
            text = '{"took":3,"responses":[' + ",".join(parts) + "]}"
            return 200, "application/json", text.encode()
        if asked.path == "/_cat/indices":
            return 200, "text/plain; charset=UTF-8", b"green open items\n"
        if asked.path == "/":
            version = {"number": "9.1.0", "build_flavor": "default"}
            root = {"name": "n", "cluster_name": "c", "version": version, "tagline": "You Know"}
            return 200, "application/json", json.dumps(root).encode()
        return 404, "application/json", b'{"error":{"type":"not_found"},"status":404}'

    def _searched(self, asked: Asked) -> tuple[int, str, bytes]:
        body = asked.body
        if asked.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        try:
            sent = json.loads(body) if body.strip() else {}
        except ValueError:
            return 400, "application/json", b'{"error":{"type":"parse_exception"},"status":400}'
        return 200, "application/json", self._search(sent, asked.query).encode()

    def _search(self, sent: dict[str, Any], said: dict[str, str]) -> str:
        first = int(said.get("from", sent.get("from", 0)))
        size = int(said.get("size", sent.get("size", 10)))
        ids = list(self.sources)
        hits = ",".join(
            f'{{"_index":"items","_id":"{name}","_score":{len(ids) - place}.50,'
            f'"_source":{json.dumps(self.sources[name])}}}'
            for place, name in list(enumerate(ids))[first : first + size]
        )
        return (
            '{"took":2,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},'
            f'"hits":{{"total":{{"value":{len(ids)},"relation":"eq"}},"max_score":{len(ids)}.50,'
            f'"hits":[{hits}]}},"aggregations":{AGGREGATIONS},"status":200}}'
        )


@contextmanager
def running_engine(engine: Engine) -> Iterator[Engine]:
    """The engine behind an address, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length) if length else b""
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            said = dict(parse_qsl(parts.query, keep_blank_values=True))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, said, headers, body)
            status, kind, answer = engine.answer(asked)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_one

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    engine.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield engine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
