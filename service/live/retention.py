"""retention.py: a running service -> it deletes by itself what is older than the settings allow."""

import logging
import threading
from typing import Final

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.events.settings import HistorySettings
from reranker.histories.histories import Histories
from reranker.privacy.retention import Expired, expire_when_due
from reranker.runtime.background import every
from service.observability.prometheus import Metrics

log = logging.getLogger("reranker")

_LOOK_SECONDS: Final = 60.0


class Retention:
    """One thread of a worker; of all workers one deletes, once in history.expire_hours."""

    def __init__(self, workspace: Workspace, histories: Histories, metrics: Metrics) -> None:
        self._workspace, self._histories, self._metrics = workspace, histories, metrics
        hours = workspace.section(HistorySettings).expire_hours
        self._seconds = min(_LOOK_SECONDS, hours * 3600)

    def watch(self) -> threading.Thread | None:
        """Delete for as long as this process lives; None where history.expire_hours is 0."""
        if not self._seconds:
            return None
        return every(self._seconds, self.look, "retention", "what is too old cannot be deleted")

    def look(self) -> Expired | None:
        """Delete what is due; a failure is logged and tried again at the next look."""
        try:
            done = expire_when_due(self._workspace, self._histories)
        except (Failure, OSError) as error:
            log.error("what is too old cannot be deleted now: %s", error)
            return None
        if done is not None:
            self._metrics.count_expired(done.events, done.days_of_rankings, done.leftovers)
            if done.events or done.days_of_rankings or done.leftovers:
                log.info(
                    "too old and deleted: %d events, %d days of logged rankings, %d leftovers",
                    *(done.events, done.days_of_rankings, done.leftovers),
                )
        return done
