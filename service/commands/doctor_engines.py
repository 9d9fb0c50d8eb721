"""doctor_engines.py: an engine and this service -> what ties them together, made and tried."""

import http.client
import ipaddress
import shlex
import socket
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from indexes.errors import Failure
from service.commands.doctor_findings import Finding
from service.proxy.upstreams import Upstream

_SECONDS: Final = 30.0
_ASKED: Final = {"model": "default", "query": "red shoes", "documents": ["red shoes", "tea"]}
_KEY: Final = "KEY"  # what stands in requests that are shown for the secret itself


class Connection(NamedTuple):
    """What is to be tied together. service: the address by which the engine reaches us. name: of
    everything that is made there. look: nothing is made."""

    engine: Upstream
    service: str
    name: str
    id_field: str
    key: str | None
    authorization: str | None
    look: bool


class Asked(NamedTuple):
    """An answer of the engine, decoded; status 0 where there was none."""

    status: int
    answer: Any

    @property
    def well(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status < 300

    @property
    def reason(self) -> str:
        """What went wrong, as the engine says it, in one line."""
        error = self.answer.get("error") if isinstance(self.answer, dict) else self.answer
        while isinstance(error, dict):
            error = error.get("caused_by") or error.get("reason") or error.get("type")
        return " ".join(str(error or f"status {self.status}").split())[:300]


class Request(NamedTuple):
    """One request to the engine."""

    method: str
    path: str
    body: Any = None


def ask(connection: Connection, request: Request) -> Asked:
    """The engine's answer; status 0 and the reason where it gives none."""
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    authorization = connection.authorization or connection.engine.authorization
    if authorization:
        headers["Authorization"] = authorization
    body = None if request.body is None else msgspec.json.encode(request.body)
    try:
        status, _, answer = connection.engine.ask(request.method, f"/{request.path}", headers, body)
    except (OSError, http.client.HTTPException) as error:
        return Asked(0, str(error) or type(error).__name__)
    try:
        return Asked(status, msgspec.json.decode(answer) if answer else {})
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Asked(status, answer[:200].decode(errors="replace"))


def as_command(connection: Connection, request: Request) -> str:
    """The request as a person sends it, without the secret that is in it."""
    url = f"{connection.engine.address}{connection.engine.prefix}/{request.path}"
    words = ["curl", "-X", request.method, url]
    if request.body is not None:
        text = msgspec.json.encode(request.body).decode()
        if connection.key:
            text = text.replace(connection.key, _KEY)
        words += ["-H", "Content-Type: application/json", "-d", text]
    return shlex.join(words)


def made(connection: Connection, check: str, request: Request, message: str) -> Finding:
    """Send a request that makes something, unless this is only a look."""
    command = as_command(connection, request)
    if connection.look:
        return Finding(check, "fail", f"{message} is missing", f"Send: {command}")
    asked = ask(connection, request)
    if asked.well:
        return Finding(check, "ok", f"{message} is made")
    refused = f"{message} is missing, and making it was refused: {asked.reason}"
    return Finding(check, "fail", refused, f"Send, with the rights for it: {command}")


def engine_finding(connection: Connection, product: str) -> tuple[Finding, tuple[int, ...]]:
    """Whether the engine answers, and its version (major, minor)."""
    asked = ask(connection, Request("GET", ""))
    address = connection.engine.address
    if asked.status == 0:
        do = "Is that its address, and does it run? For https --ca names its issuer's certificate."
        return Finding("engine", "fail", f"{address} does not answer: {asked.answer}", do), ()
    if asked.status in (401, 403):
        do = (
            "Write the address as http://USER:PASSWORD@HOST:9200, or set "
            "RERANKER_ENGINE_AUTHORIZATION='ApiKey ...'."
        )
        return Finding("engine", "fail", f"{address} asks who you are: {asked.reason}", do), ()
    version = asked.answer.get("version") if isinstance(asked.answer, dict) else None
    if not isinstance(version, dict) or "number" not in version:
        do = f"It should be the address of {product} itself, such as http://localhost:9200."
        return Finding("engine", "fail", f"{address} is no {product}", do), ()
    is_other = version.get("distribution") == "opensearch"
    if is_other != (product == "OpenSearch"):
        other = "opensearch" if is_other else "elasticsearch"
        do = f"Run `reranker doctor --{other} {address}`."
        return Finding("engine", "fail", f"{address} is not {product}", do), ()
    number = str(version["number"])
    parts = tuple(int(part) for part in number.split(".")[:2] if part.isdigit())
    return Finding("engine", "ok", f"{product} {number} at {address}"), parts


def service_findings(connection: Connection) -> Iterator[Finding]:
    """Whether this service answers with that key, and whether the engine can reach it."""
    address = connection.service
    headers = {"Content-Type": "application/json"}
    if connection.key:
        headers["Authorization"] = f"Bearer {connection.key}"
    service = Upstream(address, "--service", _SECONDS)
    try:
        status, _, _ = service.ask("POST", "/v2/rerank", headers, msgspec.json.encode(_ASKED))
    except (OSError, http.client.HTTPException) as error:
        do = "Run `reranker serve`, or name the address with --service."
        yield Finding("service", "fail", f"{address} does not answer: {error}", do)
        return
    finally:
        service.close()
    if status in (401, 403):
        do = (
            "Run `reranker keys create --name engine --scope rerank`, and set RERANKER_KEY to what "
            "it prints."
        )
        yield Finding("service", "fail", f"{address} needs a key with the scope rerank", do)
    elif status != 200:
        do = "Run `reranker doctor` for the home that it serves, and read its log."
        yield Finding("service", "fail", f"{address}/v2/rerank answers with {status}", do)
    elif is_private(address, loopback=True) and not is_private(
        connection.engine.address, loopback=True
    ):
        do = "Name the address by which the engine reaches it: --service http://HOST:8000."
        yield Finding("service", "warn", f"{address} is this machine's alone", do)
    else:
        yield Finding("service", "ok", f"{address} re-ranks")


def is_private(url: str, *, loopback: bool = False) -> bool:
    """Whether an address is of a private network, or (loopback) of this machine alone."""
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    if loopback:
        return all(address.is_loopback for address in addresses)
    return any(address.is_private or address.is_loopback for address in addresses)


def connection_of(
    url: str,
    option: str,
    service: str,
    name: str,
    id_field: str,
    environ: dict[str, str],
    look: bool,
    ca: str | None = None,
) -> Connection:
    """The two ends, checked; Failure for an address that is none."""
    if urlsplit(service).scheme not in ("http", "https"):
        raise Failure(
            f"--service is {service!r}; an address such as http://reranker:8000 is expected.",
            field="service",
        )
    return Connection(
        Upstream(url, option, _SECONDS, ca),
        service.rstrip("/"),
        name,
        id_field,
        environ.get("RERANKER_KEY"),
        environ.get("RERANKER_ENGINE_AUTHORIZATION"),
        look,
    )
