"""serve.py: `reranker serve`: what is published -> a running service, or why it cannot start."""

import errno
import ipaddress
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Annotated, Final

import click
import msgspec

from indexes.errors import Failure
from indexes.versions import VersionStore
from indexes.workspace import Settings, Workspace
from reranker.blend_store import BlendStore
from reranker.private_folders import close_to_others
from reranker.state import NoIndex, ServedState
from service.keys import ApiKey, KeyFile
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
            description="Address to listen on; any but a loopback address needs an API key.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ] = 8000
    hosts: Annotated[
        list[str],
        msgspec.Meta(
            description="Names (Host headers) to answer to beside loopback ones; on another "
            "address, these alone. Empty there: any name.",
        ),
    ] = []
    origins: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=r"^https?://[^/*\s]+/?\Z")]],
        msgspec.Meta(
            description="Other sites whose pages may call the service, such as "
            "https://shop.example; the engineers' page is for none of them.",
        ),
    ] = []
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
        close_to_others(workspace.home)
        address = address_of(settings.host, settings.port)
        keys = usable_keys(workspace)
        listener = listen(settings.host, settings.port, address)
    except Failure as failure:
        if logs.format != "json":
            raise
        log.error("cannot start: %s", failure)  # then every line is JSON, this one, too
        raise SystemExit(1) from None
    # Only here: importing gunicorn and Flask costs the other commands their start.
    from service.gunicorn_server import run

    run(workspace, listener, banner or partial(default_banner, keys=keys))


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


def usable_keys(workspace: Workspace) -> tuple[ApiKey, ...] | None:
    """The keys that open the service, None where it needs none; CannotListen where anybody who
    reaches the address could use it, or nobody could."""
    host = workspace.section(ServeSettings).host
    file = KeyFile(workspace.home)
    keys = file.read()
    if keys:
        file.require()
    active = tuple(key for key in keys if key.active)
    if not active and not is_loopback(host):
        raise CannotListen(
            f"serve.host is {host!r}, and there is no API key in {workspace.home}: whoever reaches "
            "that address could use the service.",
            field="serve.host",
            hint=f"Run `reranker --home {workspace.home} keys create --name search --scope rerank`,"
            " or use --host 127.0.0.1, which answers this machine alone and needs no key.",
        )
    return active if file.required else None


Address = tuple[socket.AddressFamily, tuple[str, int]]


def address_of(host: str, port: int) -> Address:
    """Where to listen; CannotListen when the host is none."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise CannotListen(
            f"serve.host is {host!r}, which is no address: {error.strerror}.", field="serve.host"
        ) from None
    return family, (str(address[0]), int(address[1]))


def listen(host: str, port: int, found: Address | None = None) -> socket.socket:
    """A listening socket; CannotListen says what is in the way."""
    family, address = found or address_of(host, port)
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        reason = _ENDED_BY.get(error.errno or 0, error.strerror)
        raise CannotListen(
            f"Cannot listen on {host}:{port}: {reason}.",
            field="serve.port",
            hint="Choose another with --port; --port 0 takes a free one.",
        ) from None


def is_loopback(host: str) -> bool:
    """Whether this address, or every address of this name, is this machine's own loopback."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


def url_of(listener: socket.socket) -> str:
    """Where the service answers."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def default_banner(url: str, state: ServedState, keys: tuple[ApiKey, ...] | None = None) -> str:
    """What `reranker serve` says once it answers. keys: those that open it; None: it is open."""
    body = '{"query": "...", "candidates": [{"id": "17", "score": 12.3}, {"id": "99"}]}'
    key = "" if keys is None else " -H 'Authorization: Bearer KEY'"
    return "\n".join(
        (
            f"reranker answers on {url}",
            f"  index  {state.index.version}, {len(state.index):,} items",
            f"  blend  {state.published.name} v{state.published_version}",
            f"  keys   {_said(keys)}",
            f"  try    curl {url}/rerank{key} -d '{body}'",
        )
    )


def _said(keys: tuple[ApiKey, ...] | None) -> str:
    if keys is None:
        return "none configured: open to everybody on this machine, and to nobody else"
    if not keys:
        return "none valid: nothing gets in until `reranker keys create` makes one"
    first = ", ".join(f"{key.name} ({' '.join(key.scopes)})" for key in keys[:4])
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return f"{first}{more}; every route but /livez and /readyz needs one"
