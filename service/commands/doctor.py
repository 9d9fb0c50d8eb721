"""doctor.py: this machine and this home -> what is well, what is not, and what to do about it."""

import os
import platform
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import click

from indexes.build.notes import many_alike
from indexes.encoders.query_encoder import load_query_encoder
from indexes.encoders.text_encoder import unknown_warning
from indexes.encoders.tokens import count_unknown
from indexes.errors import Failure
from indexes.items.index import check_format
from indexes.modalities.entries import entries_of
from indexes.storage.versions import Version, VersionStore
from indexes.workspace import Workspace
from reranker.commands.output import echo_json, json_option
from reranker.evaluation.requests import read_requests
from service.commands import (
    doctor_engines,
    doctor_fleet,
    doctor_histories,
    doctor_home,
    doctor_machine,
    doctor_private,
)
from service.commands.doctor_elasticsearch import elasticsearch_findings
from service.commands.doctor_findings import SETTINGS_FAILURE, Finding
from service.commands.doctor_opensearch import opensearch_findings
from service.http.settings import ServeSettings

QUERY_MS: Final = 2.5
_TOKENS: Final = 1_000_000
_GIB: Final = 1024**3
_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@click.option(
    "--requests",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A requests file: does the model know the words of its queries?",
)
@click.option(
    "--elasticsearch",
    metavar="URL",
    help="Tie Elasticsearch to the service instead: make and try the inference endpoint.",
)
@click.option(
    "--opensearch",
    metavar="URL",
    help="The same for OpenSearch: two cluster settings, connector, model, search pipeline.",
)
@click.option(
    "--service",
    metavar="URL",
    help="Where the engine reaches the service; default: serve.host and serve.port.",
)
@click.option("--name", default="shop", show_default=True, help="Of what is made in the engine.")
@click.option(
    "--id-field",
    default="product_id",
    show_default=True,
    help="Field of the engine's index that holds the item's id (OpenSearch).",
)
@click.option("--look", is_flag=True, help="Make nothing in the engine; say what is missing.")
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False),
    help="Certificate of the engine's issuer, for https.",
)
@json_option()
@click.pass_context
def doctor_command(
    ctx: click.Context,
    /,
    requests: Path | None,
    elasticsearch: str | None,
    opensearch: str | None,
    as_json: bool,
    **tie: Any,
) -> int:
    """Check this machine and this home, and say what to do.

    With --elasticsearch or --opensearch the connection between the engine and the service is made
    and tried instead, with the key in RERANKER_KEY; what is there already stays, and what cannot be
    made is shown as the request to send. The engine's own key stands in
    RERANKER_ENGINE_AUTHORIZATION, or user:password@ in its address. Exit status 1 when something
    fails; warnings are only said.
    """
    if elasticsearch and opensearch:
        raise click.UsageError("--elasticsearch and --opensearch exclude each other.")
    if elasticsearch or opensearch:
        findings = list(_tied(ctx.obj, elasticsearch, opensearch, tie))
    else:
        findings = list(examine(ctx.obj, ctx.meta.get(SETTINGS_FAILURE), requests))
    counts: Counter[str] = Counter(finding.state for finding in findings)
    for finding in findings:
        mark = click.style(f"{finding.state:<5}", fg=_COLOURS[finding.state])
        click.echo(f"{mark}{finding.check:<10} {finding.message}", err=as_json)
        if finding.do:
            click.echo(f"{'':15} {finding.do}", err=as_json)
    summary = ", ".join(f"{counts[state]} {state}" for state in _COLOURS if counts[state])
    click.echo(f"\n{summary}", err=as_json)
    failed = any(finding.state == "fail" for finding in findings)
    if as_json:
        echo_json({"well": not failed, "findings": findings})
    return int(failed)


def _tied(
    workspace: Workspace, elasticsearch: str | None, opensearch: str | None, tie: dict[str, Any]
) -> Iterator[Finding]:
    settings = workspace.section(ServeSettings)
    connection = doctor_engines.connection_of(
        elasticsearch or opensearch or "",
        "--elasticsearch" if elasticsearch else "--opensearch",
        tie["service"] or f"http://{settings.host}:{settings.port}",
        tie["name"],
        tie["id_field"],
        dict(os.environ),
        tie["look"],
        tie["ca"],
    )
    try:
        yield from (elasticsearch_findings if elasticsearch else opensearch_findings)(connection)
    finally:
        connection.engine.close()


def examine(
    workspace: Workspace, settings_failure: Failure | None = None, requests: Path | None = None
) -> Iterator[Finding]:
    """All findings, machine first; no check's failure keeps the others from being made."""
    yield _settings(workspace, settings_failure)
    for check in CHECKS:
        yield _careful(check, workspace)
    version = _current(workspace)
    if version is not None:
        for look in (_unknown_tokens, _texts, _encoder):
            yield _careful(look, version)
        if requests is not None:
            yield _careful(partial(_queries, requests), version)


def _writable(path: Path) -> bool:
    """Access by the account alone says nothing of a read-only file system."""
    return os.access(path, os.W_OK) and not os.statvfs(path).f_flag & os.ST_RDONLY


def _careful(check: Callable[[Any], Finding], subject: Any) -> Finding:
    try:
        return check(subject)
    except Failure as failure:
        return Finding(_name(check), "fail", failure.message, failure.hint or "")
    except Exception as error:  # a doctor who faints helps nobody
        return Finding(_name(check), "fail", f"{type(error).__name__}: {error}")


def _name(check: Callable[[Any], Finding]) -> str:
    named = check.func if isinstance(check, partial) else check
    return named.__name__.strip("_")


def _settings(workspace: Workspace, failure: Failure | None) -> Finding:
    if failure:
        return Finding("settings", "fail", failure.message, failure.hint or "")
    return Finding("settings", "ok", f"{len(workspace.sources)} set, the others at their defaults")


def _python(_workspace: Workspace) -> Finding:
    message = f"{platform.python_version()}, faiss {metadata.version('faiss-cpu')}"
    try:
        return Finding("python", "ok", f"{message}, torch {metadata.version('torch')}")
    except metadata.PackageNotFoundError:
        do = "Enough to serve; to rebuild here: pip install 'shop-reranker[encode]'."
        return Finding("python", "ok", f"{message}, no torch", do)


def _home(workspace: Workspace) -> Finding:
    home = workspace.home
    existing = next(path for path in (home, *home.absolute().parents) if path.exists())
    if not _writable(existing):
        return Finding("home", "fail", f"{existing} cannot be written", "Mend its permissions.")
    return Finding("home", "ok", f"{home}" if home.exists() else f"{home} (will be made)")


def _disk(workspace: Workspace) -> Finding:
    home = workspace.home.absolute()
    free = shutil.disk_usage(next(path for path in (home, *home.parents) if path.exists())).free
    message = f"{free / _GIB:,.1f} GiB free"
    if free < _GIB:
        need = "A rebuild writes the whole index anew beside the old one; make room."
        return Finding("disk", "fail" if free < _GIB / 10 else "warn", message, need)
    return Finding("disk", "ok", message)


def _current(workspace: Workspace) -> Version | None:
    try:
        version = VersionStore(workspace.index_root).current()
    except (Failure, OSError):
        return None
    return version if version is not None and version.manifest else None


def _index(workspace: Workspace) -> Finding:
    store = VersionStore(workspace.index_root)
    version = store.current()
    if version is None:
        do = "Run `reranker rebuild --items FILE`, or `reranker demo` to see it work."
        return Finding("index", "fail", "none is published", do)
    problems = store.verify(version)
    if problems:
        do = "Run `reranker index rollback` to serve the one before, or `reranker rebuild`."
        return Finding("index", "fail", f"{version.id} is damaged: {'; '.join(problems[:3])}", do)
    try:
        check_format(version.about, version.id)
    except Failure as old:
        return Finding("index", "fail", old.message, old.hint or "")
    items = version.about.get("items", 0)
    vectors = "".join(
        f", {entry.items:,} of them with a vector of their {name}"
        for name, entry in entries_of(version.about).items()
    )
    message = f"{version.id}, {items:,} items{vectors}, every file as published"
    return Finding("index", "ok", message)


CHECKS: Final[tuple[Callable[[Workspace], Finding], ...]] = (
    *(_python, doctor_machine.processor, doctor_machine.loops),
    *(doctor_machine.threads, doctor_machine.memory),
    *(doctor_machine.open_files, doctor_machine.clock, _home, _disk, doctor_home.secrets),
    *(doctor_private.pseudonyms, doctor_private.private),
    *(_index, doctor_home.model, doctor_home.blend, doctor_histories.histories),
    *(doctor_fleet.fleet, doctor_fleet.changes, doctor_home.future),
    *(doctor_home.items, doctor_home.service),
)


def _unknown_tokens(version: Version) -> Finding:
    share = float(version.manifest.about.get("unknown_tokens", 0.0)) if version.manifest else 0.0
    warning = unknown_warning(round(share * _TOKENS), _TOKENS)
    message = f"{share:.1%} of the catalogue's tokens are unknown to the model"
    return Finding("language", "warn" if warning else "ok", message, warning or "")


def _texts(version: Version) -> Finding:
    about = version.about
    alike, items = int(about.get("alike", 0)), int(about.get("items", 0))
    warning = many_alike(alike, items)
    return Finding("texts", "warn" if warning else "ok", warning or f"{items:,} items have texts")


def _queries(requests: Path, version: Version) -> Finding:
    queries = {request.query for request in read_requests(requests, lambda _bad: None)}
    unknown, tokens = count_unknown(version.folder / "encoder", sorted(queries))
    warning = unknown_warning(unknown, tokens, "the queries")
    message = (
        f"{unknown / max(tokens, 1):.1%} of the tokens of {len(queries):,} queries are unknown"
    )
    return Finding("queries", "warn" if warning else "ok", message, warning or "")


def _encoder(version: Version) -> Finding:
    encoder = load_query_encoder(version.folder / "encoder", 1)
    encoder.encode_queries(["warm up"])
    seconds = []
    for number in range(20):
        started = time.perf_counter()
        encoder.encode_queries([f"red running shoes number {number}"])
        seconds.append(time.perf_counter() - started)
    milliseconds = statistics.median(seconds) * 1000
    message = f"{milliseconds:.1f} ms for a query not seen before"
    if milliseconds > QUERY_MS:
        do = f"More than {QUERY_MS} ms: a smaller encoder.model, or fewer other programs, helps."
        return Finding("encoder", "warn", message, do)
    return Finding("encoder", "ok", message)
