"""serve.py: `reranker serve`: what is published -> a running service, or why it cannot start."""

import errno
import ipaddress
import logging
import socket
from collections.abc import Callable
from typing import Annotated, Final

import click
import msgspec

from indexes.errors import Failure
from indexes.versions import VersionStore
from indexes.workspace import Settings, Workspace
from reranker.blend_store import BlendStore
from reranker.state import NoIndex, ServedState
from service.logs import LogSettings, set_up_logs

log = logging.getLogger("reranker")

BACKLOG: Final = 1024
_ENDED_BY: Final = {
    errno.EADDRINUSE: "something else listens there",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.EACCES: "that port needs more rights",
}

Banner = Callable[[str, ServedState], str]


class ServeSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where and with how much the service runs."""

    host: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="Address to listen on; loopback only, because there are no API keys yet.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ] = 8000
    workers: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=256, description="Processes; they share the index, so more cost little memory."
        ),
    ] = 2
    threads: Annotated[
        int, msgspec.Meta(ge=1, le=256, description="Requests that one process works on at once.")
    ] = 4
    grace_seconds: Annotated[
        int,
        msgspec.Meta(ge=0, description="Seconds that running requests get when the service stops."),
    ] = 10
    drain_seconds: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=3600,
            description="Seconds after SIGTERM in which /readyz says no and everything is still "
            "answered, so that a load balancer sends its requests elsewhere.",
        ),
    ] = 5.0


class CannotListen(Failure):
    """The address cannot be listened on, or must not."""

    code = "cannot_listen"


@click.command("serve")
@click.option("--host", help="Address to listen on (serve.host).")
@click.option("--port", type=int, help="Port; 0 takes a free one (serve.port).")
@click.option("--workers", type=int, help="Processes (serve.workers).")
@click.option("--threads", type=int, help="Requests at once in each process (serve.threads).")
@click.pass_obj
def serve_command(
    workspace: Workspace,
    host: str | None,
    port: int | None,
    workers: int | None,
    threads: int | None,
) -> None:
    """Answer POST /rerank until stopped.

    A newly published index or blend is picked up by itself, without a restart. SIGTERM says "not
    ready", answers for serve.drain_seconds more, and lets running requests end; Ctrl-C does not
    wait.
    """
    from service.settings import with_options  # settings.py imports ServeSettings from here

    serve(
        with_options(
            workspace, ServeSettings, host=host, port=port, workers=workers, threads=threads
        )
    )


def serve(workspace: Workspace, banner: Banner | None = None) -> None:
    """Serve what is published in this workspace until a signal ends it.

    banner: what to say, given the URL, once the first worker answers. Raises Failure when nothing
    sound is published or the address cannot be had; exits 1 when no worker can start.
    """
    settings = workspace.section(ServeSettings)
    logs = workspace.section(LogSettings)
    set_up_logs(logs)
    try:
        check_published(workspace)
        listener = listen(settings.host, settings.port)
    except Failure as failure:
        if logs.format != "json":
            raise
        log.error("cannot start: %s", failure)  # then every line is JSON, this one, too
        raise SystemExit(1) from None
    # Only here: importing gunicorn and Flask costs the other commands their start.
    from service.gunicorn_server import run

    run(workspace, listener, banner or default_banner)


def check_published(workspace: Workspace) -> None:
    """Hash the published index once, for all workers; Failure when it is absent or damaged."""
    store = VersionStore(workspace.index_root)
    version = store.current()
    if version is None:
        raise NoIndex(
            f"No index is published in {workspace.home}.",
            hint="Run `reranker rebuild --items FILE`, or `reranker demo` to see it work.",
        )
    store.ensure_verified(version)
    BlendStore(workspace.blends_root).published_or_default()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address; CannotListen says what is in the way."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise CannotListen(
            f"serve.host is {host!r}, which is no address: {error.strerror}.", field="serve.host"
        ) from None
    if not ipaddress.ip_address(address[0]).is_loopback:
        raise CannotListen(
            f"serve.host is {host!r}: without API keys, which this version does not have yet, "
            "anybody who reaches that address could use the service, so it only listens on a "
            "loopback address.",
            field="serve.host",
            hint="Use --host 127.0.0.1, and a proxy that authenticates in front of it.",
        )
    try:
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        reason = _ENDED_BY.get(error.errno or 0, error.strerror)
        raise CannotListen(
            f"Cannot listen on {host}:{port}: {reason}.",
            field="serve.port",
            hint="Choose another with --port; --port 0 takes a free one.",
        ) from None


def url_of(listener: socket.socket) -> str:
    """Where the service answers."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def default_banner(url: str, state: ServedState) -> str:
    """What `reranker serve` says once it answers."""
    body = '{"query": "...", "candidates": [{"id": "17", "score": 12.3}, {"id": "99"}]}'
    return "\n".join(
        (
            f"reranker answers on {url}",
            f"  index  {state.index.version}, {len(state.index):,} items",
            f"  blend  {state.published.name} v{state.published_version}",
            "  keys   none configured: open to everybody on this machine, and to nobody else",
            f"  try    curl {url}/rerank -d '{body}'",
        )
    )
