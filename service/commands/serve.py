"""serve.py: `reranker serve` on the command line."""

import click

from indexes.workspace import Workspace
from service.http.settings import ServeSettings
from service.live.settings import ReloadSettings
from service.server.serve import serve
from service.settings import with_options


@click.command("serve")
@click.option("--host", help="Address to listen on (serve.host).")
@click.option("--port", type=int, help="Port; 0 takes a free one (serve.port).")
@click.option("--workers", type=int, help="Processes (serve.workers).")
@click.option("--threads", type=int, help="Requests at once in each process (serve.threads).")
@click.option(
    "--from",
    "source",
    metavar="URL",
    help="Serve what `reranker publish --to URL` published there (reload.source).",
)
@click.pass_obj
def serve_command(
    workspace: Workspace,
    host: str | None,
    port: int | None,
    workers: int | None,
    threads: int | None,
    source: str | None,
) -> None:
    """Answer POST /rerank until stopped.

    A newly published index or blend is picked up by itself, without a restart. SIGTERM says "not
    ready", answers for serve.drain_seconds more, and lets running requests end; Ctrl-C does not
    wait.
    """
    workspace = with_options(workspace, ReloadSettings, source=source)
    serve(
        with_options(
            workspace, ServeSettings, host=host, port=port, workers=workers, threads=threads
        )
    )
