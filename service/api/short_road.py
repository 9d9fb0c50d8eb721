"""short_road.py: a plain POST /rerank of which all is at hand -> the answer that Flask would give.

Every check is the one that Flask's road makes, by the same functions. What is unusual in any way,
what is refused and what has to be waited for is left to Flask: None, and nothing has been counted.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from flask import Flask

from reranker.errors import BadRequest
from service.access.guard import NEEDS, Guard
from service.access.sites import Hosts, Origins
from service.api.requests import RequestReader
from service.api.rerank import Reranking
from service.http.answers import JSON, RAW_HEADERS, encoded
from service.http.received import TIMEOUT_HEADER
from service.http.settings import LimitSettings
from service.observability.prometheus import Metrics
from service.observability.request_ids import REQUEST_ID, answering, facts_of
from service.observability.settings import LogSettings

log = logging.getLogger("reranker")

ROUTE: Final = "/rerank"
_NAME: Final = "short_road"
# Fields that change nothing here, or are read below. With any other Flask answers: a site's, a
# cookie, a packed body, what a later release may read.
_KNOWN: Final = {
    name.upper(): name
    for name in (
        *("Host", "Content-Length", "Content-Type", "Connection", "User-Agent"),
        *("Accept", "Accept-Encoding", "Accept-Language"),
        *("Authorization", "X-Api-Key", "Api-Key"),
        *(REQUEST_ID, "traceparent", "tracestate", TIMEOUT_HEADER),
        *("X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip"),
    )
}


class ShortAnswer:
    """What is sent behind the server's own fields. caller: the name of the key, if any."""

    __slots__ = ("caller", "content")

    def __init__(self, content: bytes, caller: str | None) -> None:
        self.content, self.caller = content, caller


class Later:
    """No answer yet: what was missing is being worked out."""


LATER: Final = Later()


class ShortRoad:
    """The one of an application."""

    def __init__(
        self,
        reranking: Reranking,
        reader: RequestReader,
        limits: LimitSettings,
        logs: LogSettings,
        door: tuple[Hosts, Origins, Guard],
        metrics: Metrics,
    ) -> None:
        self._reranking, self._reader, self._limits = reranking, reader, limits
        self._hosts, self._origins, self._guard = door
        self._metrics = metrics
        self._open = not logs.access and not self._origins.any_allowed

    def answer(
        self,
        fields: Sequence[tuple[str, str]],
        body: bytes,
        arrived: float,
        again: Callable[[], object] | None = None,
    ) -> ShortAnswer | Later | None:
        """The answer to a POST of this body with these fields (names in capitals), or None.

        arrived: on `time.perf_counter`. again: may be called once, in another thread, after LATER:
        then it is worth asking again. Never raises.
        """
        named = self._named(fields) if self._open else None
        if named is None or len(body) > self._limits.body_bytes:
            return None
        self._metrics.began()
        try:
            return self._answer(named, body, arrived, again)
        except BadRequest:  # Flask's road says what is wrong
            return None
        except Exception:
            log.exception("the short road failed; Flask answers")
            return None
        finally:
            answering.set(None)
            self._metrics.ended()

    def _named(self, fields: Sequence[tuple[str, str]]) -> dict[str, str] | None:
        """The fields by name; None where one is not known here, or comes twice."""
        named = {}
        for name, value in fields:
            known = _KNOWN.get(name)
            if known is None:
                return None
            named[known] = value
        host = named.get("Host")
        if len(named) < len(fields) or not host or not self._hosts.allowed(host):
            return None
        plain = named.get("Content-Type", JSON).partition(";")[0].strip().lower() == JSON
        return named if plain else None

    def _answer(
        self,
        named: dict[str, str],
        body: bytes,
        arrived: float,
        again: Callable[[], object] | None,
    ) -> ShortAnswer | Later | None:
        admitted, caller = self._guard.admits(named, NEEDS[ROUTE])
        if not admitted or not self._guard.within_rate(caller, take=False):
            return None
        facts = facts_of(named, ROUTE)
        answering.set(facts)
        begun = self._reranking.begin_at(arrived)
        with begun.stages("read"):
            sent = self._reader.read(body)
        timeout = named.get(TIMEOUT_HEADER)
        ranked = self._reranking.at_hand(begun, sent, timeout)
        if ranked is None and again and self._reranking.fetch(begun, sent, timeout, again):
            return LATER
        if ranked is None or not self._guard.within_rate(caller, take=True):
            return None
        written = self._reranking.write(begun, sent, ranked, encoded)
        head = f"Content-Type: {JSON}\r\nContent-Length: {len(written)}\r\n{RAW_HEADERS}"
        content = f"{head}{REQUEST_ID}: {facts.id}\r\n\r\n".encode() + written
        self._metrics.note_answer(ROUTE, 200, time.perf_counter() - facts.started)
        return ShortAnswer(content, caller.name if caller else None)


def lay_short_road(app: Flask, road: ShortRoad) -> None:
    """Let the server find it."""
    app.extensions[_NAME] = road


def short_road(app: object) -> ShortRoad | None:
    """That of an application; None where it has none."""
    road = getattr(app, "extensions", {}).get(_NAME)
    return road if isinstance(road, ShortRoad) else None
