"""arbiter.py: signals -> workers started and stopped so that no request is lost."""

import time
from pathlib import Path
from typing import Any, Final

from service.live import draining
from service.server.gunicorn_api import Arbiter

_LOOK_SECONDS: Final = 0.05


class Master(Arbiter):  # type: ignore[misc]  # gunicorn publishes no types
    """gunicorn's master, with a drain before the end and an overlap when it is told to reload.

    drain_seconds: between saying "not ready" and taking no more connections.
    boot_seconds: that new workers get before the old ones end all the same.
    """

    def __init__(self, app: Any, drain_seconds: float, boot_seconds: float) -> None:
        self._drain_seconds, self._boot_seconds = drain_seconds, boot_seconds
        self._stop_at: float | None = None
        self._reloading = False
        super().__init__(app)

    def handle_term(self) -> None:
        """Say "not ready", and go on for a while; a second SIGTERM ends the while."""
        if self._stop_at is not None or not self._drain_seconds:
            draining.begin()
            raise StopIteration
        draining.begin()
        self._stop_at = time.monotonic() + self._drain_seconds

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        if self._stop_at is not None:
            left = self._stop_at - time.monotonic()
            if left <= 0:
                raise StopIteration
            timeout = min(timeout, left)
        signals: list[int] = super().wait_for_signals(timeout)
        return signals

    def reload(self) -> None:
        """Start new workers; the old ones end when the new ones answer."""
        self._reloading = True
        super().reload()

    def manage_workers(self) -> None:
        if self._reloading:
            self._reloading = False
            self._wait_for(max(self.WORKERS, key=lambda pid: self.WORKERS[pid].age))
        super().manage_workers()

    def _wait_for(self, newest: int) -> None:
        ready: Path = self.app.ready_file(newest)
        end = time.monotonic() + self._boot_seconds
        while not ready.exists() and newest in self.WORKERS and time.monotonic() < end:
            self.reap_workers()
            time.sleep(_LOOK_SECONDS)
