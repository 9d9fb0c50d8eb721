"""serve_proxy.py: a proxy and an address -> gunicorn, until a signal ends it."""

from collections.abc import Callable
from typing import Any

import gunicorn.app.base

from service.http.addresses import listen, url_of
from service.proxy.proxy import Proxy


class _Server(gunicorn.app.base.BaseApplication):  # type: ignore[misc]  # it has no types
    def __init__(self, proxy: Proxy, options: dict[str, Any]) -> None:
        self._proxy, self._options = proxy, options
        super().__init__()

    def load_config(self) -> None:
        """As gunicorn asks for it."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Proxy:
        """The application."""
        return self._proxy


def serve_proxy(
    proxy: Proxy,
    host: str,
    port: int,
    workers: int,
    threads: int,
    on_ready: Callable[[str], object],
) -> None:
    """Answer until SIGTERM or Ctrl-C; CannotListen where the address cannot be had.

    on_ready: is told the address.
    """
    listener = listen(host, port)
    url = url_of(listener)
    options = {
        "bind": [f"fd://{listener.fileno()}"],
        "workers": workers,
        "threads": threads,
        "worker_class": "gthread",
        "keepalive": 75,
        "loglevel": "warning",
        "graceful_timeout": 10,
        "timeout": 120,
        "when_ready": lambda _server: on_ready(url),
    }
    _Server(proxy, options).run()
