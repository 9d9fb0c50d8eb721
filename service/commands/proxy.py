"""proxy.py: `reranker proxy` on the command line."""

import os
from pathlib import Path

import click

from indexes.workspace import Workspace
from reranker.commands.finite_range import FiniteRange
from service.http.settings import ServeSettings


@click.command("proxy")
@click.option(
    "--elasticsearch",
    "--opensearch",
    "engine",
    metavar="URL",
    required=True,
    help="The engine to stand in for, such as http://localhost:9200; user:password@ may "
    "stand in it, for clients that send none.",
)
@click.option(
    "--service",
    metavar="URL",
    help="Where `reranker serve` answers; default: serve.host and serve.port.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=9280, show_default=True, help="0 takes a free one.")
@click.option(
    "--window",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="The engine's best hits that are re-ranked; pages are cut from them.",
)
@click.option(
    "--budget-ms",
    type=FiniteRange(min=1),
    default=150,
    show_default=True,
    help="Longest wait for the service; then the engine's order goes out.",
)
@click.option(
    "--id-field",
    default="_id",
    show_default=True,
    help="Where a hit names its item: _id, or a field of its source.",
)
@click.option("--text-field", help="Field of the source that is read of items the index lacks.")
@click.option(
    "--query-header",
    default="X-Search-Query",
    show_default=True,
    help="Header of a search that says what was typed.",
)
@click.option(
    "--query-path",
    multiple=True,
    metavar="PATH",
    help="Where in the body it stands, such as query.bool.must.0.match.title; without "
    "one the first clause that searches for a text tells. Repeatable.",
)
@click.option(
    "--timeout",
    type=FiniteRange(min=1),
    default=60,
    show_default=True,
    help="Seconds until an engine that does not answer is given up.",
)
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificate of the engine's issuer, for https.",
)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=16, show_default=True)
@click.pass_obj
def proxy_command(
    workspace: Workspace,
    engine: str,
    service: str | None,
    host: str,
    port: int,
    window: int,
    budget_ms: float,
    id_field: str,
    text_field: str | None,
    query_header: str,
    query_path: tuple[str, ...],
    timeout: float,
    ca: Path | None,
    workers: int,
    threads: int,
) -> None:
    """Stand in for Elasticsearch or OpenSearch: searches come back re-ranked.

    Point the search backend here instead of at the engine. Searches by score are re-ranked by the
    running service, and come back unchanged but for the order of their hits and _score; everything
    else passes as it is, and so does a search for which the service does not answer in time. The
    service's key stands in the variable RERANKER_KEY. X-User-Id, X-Session-Id, X-Blend and
    X-Personalize say who is searching; the answer's X-Ranking-Id is what events may name.
    """
    from service.proxy.proxy import Proxy
    from service.proxy.reranked import Reranker
    from service.proxy.searches import Rules
    from service.proxy.serve_proxy import serve_proxy
    from service.proxy.upstreams import Upstream

    settings = workspace.section(ServeSettings)
    reranker = Reranker(
        Upstream(
            service or f"http://{settings.host}:{settings.port}", "--service", budget_ms / 1000
        ),
        budget_ms,
        window,
        text_field,
        os.environ.get("RERANKER_KEY"),
    )
    proxy = Proxy(
        Upstream(engine, "--elasticsearch", timeout, None if ca is None else str(ca)),
        reranker,
        Rules(window, query_header, query_path),
        id_field,
    )
    serve_proxy(
        proxy, host, port, workers, threads, lambda url: click.echo(f"Re-ranking proxy on {url}")
    )
