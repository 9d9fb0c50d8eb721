"""serve.py: `reranker serve`: what is published -> a running service, or why it cannot start."""

import logging
from functools import partial

from indexes.errors import Failure
from indexes.items.index import published_version
from indexes.workspace import Workspace
from reranker.blends.store import BlendStore
from reranker.privacy.folders import close_to_others
from service.access.keys import ApiKey, KeyFile
from service.http.addresses import CannotListen, address_of, is_loopback, listen
from service.http.settings import ServeSettings
from service.live.pulling import pull_before_start
from service.observability.logs import set_up_logs
from service.observability.settings import LogSettings
from service.server.banner import Banner, default_banner

log = logging.getLogger("reranker")


def serve(workspace: Workspace, banner: Banner | None = None) -> None:
    """Serve what is published in this workspace until a signal ends it.

    banner: what to say, given the URL, once the first worker answers. Raises Failure when nothing
    sound is published or the address cannot be had; exits 1 when no worker can start.
    """
    settings = workspace.section(ServeSettings)
    logs = workspace.section(LogSettings)
    set_up_logs(logs)
    try:
        pull_before_start(workspace)
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
    from service.server.gunicorn import run

    run(workspace, listener, banner or partial(default_banner, keys=keys))


def check_published(workspace: Workspace) -> None:
    """Hash the published index once, for all workers; Failure when it is absent or damaged."""
    published_version(workspace)
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
