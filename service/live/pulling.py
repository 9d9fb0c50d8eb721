"""pulling.py: a store of published sets -> the newest one in the home of a running service."""

import logging
import threading

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.fleet.object_store import open_store
from reranker.fleet.pull import pull, pull_at_start
from reranker.runtime.background import every
from service.live.settings import ReloadSettings

log = logging.getLogger("reranker")


class Pulling:
    """One thread of each worker; of all workers of a home one pulls."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._settings = workspace.section(ReloadSettings)
        self._said = ""

    def watch(self) -> threading.Thread | None:
        """Pull for as long as this process lives; None where there is no store to pull from."""
        if not self._settings.source:
            return None
        unseen = f"cannot see what {self._settings.source} serves"
        return every(self._settings.pull_seconds, self.look, "pulling", unseen)

    def look(self) -> bool:
        """Take what is newer; whether there was something. A failure is logged once, and what was
        served goes on."""
        try:
            taken = pull(self._workspace, open_store(self._settings.source))
        except (Failure, OSError) as failure:
            if str(failure) != self._said:
                log.error("the newest set is not taken: %s", failure)
            self._said = str(failure)
            return False
        self._said = ""
        if taken is not None:
            log.info("set %s was taken from %s", taken.id, self._settings.source)
        return taken is not None


def pull_before_start(workspace: Workspace) -> None:
    """Take what the store serves, where there is one; Failure where nothing can be served."""
    source = workspace.section(ReloadSettings).source
    if source:
        away = pull_at_start(workspace, open_store(source))
        if away is not None:
            log.warning("%s goes on with the set it has: %s", workspace.home, away)
