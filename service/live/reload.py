"""reload.py: what is published now -> the state that answers, swapped in without a restart."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from indexes.errors import Failure
from indexes.items.changes import ChangesFailure, ItemChanges
from indexes.items.settings import ItemSettings
from indexes.storage.arrays import Vectors
from indexes.storage.locks import release, try_lock
from indexes.workspace import Workspace
from reranker.blends.store import BlendStore
from reranker.fleet.pull import reading_links
from reranker.histories.store import open_histories
from reranker.ranking.deadlines import DeadlineRanker
from reranker.ranking.ranking import Ranking, rerank
from reranker.ranking.settings import RankingSettings
from reranker.ranking.state import ServedState, load_state, published
from reranker.requests import Candidate, RerankRequest
from reranker.runtime.background import every
from reranker.runtime.budget import Breakers
from service.live.settings import ReloadSettings
from service.observability.prometheus import Metrics

log = logging.getLogger("reranker")

_TAKE_UP_SECONDS: Final = 0.5  # a change is served within two seconds
_ENCODED_AT_A_LOOK: Final = 32  # changed texts; searches need the processor, too
_AT_ONCE: Final = 4  # texts that are encoded together: a search may wait for them
_ENCODING: Final = "encoding.lock"
_CANARIES: Final = 3
_RETRY_SECONDS: Final = 30.0
_CANARY_SECONDS: Final = 1.0


class NotReady(Failure):
    """The state cannot re-rank its own items."""

    code = "not_ready"


class Served:
    """The one reference that requests read: once each, so that no answer mixes two versions."""

    def __init__(self, workspace: Workspace, metrics: Metrics) -> None:
        self._workspace = workspace
        self._metrics = metrics
        self.histories = open_histories(workspace)
        ranking = workspace.section(RankingSettings)
        self.breakers = Breakers(
            ranking.breaker_failures, ranking.breaker_seconds, metrics.note_breaker
        )
        self.ranker = DeadlineRanker(self.breakers)
        self.budget_ms = ranking.budget_ms
        self.changes = ItemChanges(workspace.home, workspace.section(ItemSettings).changed_items)
        self._taking = threading.Lock()
        # The number of the newest change that the state has; None where that is not known yet.
        self._taken_up: int | None = None
        self._complained, self._encodes = False, True
        self._retry_at = 0.0
        # The first blend is published by whoever asks first, which is no news.
        BlendStore(workspace.blends_root).published_or_default()
        # Before loading: a version published meanwhile is seen at the first look.
        self._refused: tuple[str, ...] | None = None
        with reading_links(workspace.home):
            self._seen = published(workspace.home)
            state = self._ready()
        self.state = self._swap(state)

    def refresh(self) -> bool:
        """Swap in what was published since the last look; whether there was a swap.

        A version that is damaged or cannot re-rank is refused, and the old one goes on answering.
        """
        with reading_links(self._workspace.home):  # three links: nobody swaps them meanwhile
            versions = published(self._workspace.home)
            if versions == self._seen or not self._worth_trying(versions):
                return False
            state = self._loaded(versions)
        if state is None:
            return False
        self._swap(state)
        self._seen, self._refused = versions, None
        self._metrics.reloads.labels("swapped").inc()
        model = state.model.version if state.model else "none"
        log.info(
            "now serving index %s, model %s, blend %s",
            *(state.index.version, model, blend_label(state)),
        )
        return True

    def _loaded(self, versions: tuple[str, ...]) -> ServedState | None:
        """What is published, ready to answer; None where it is refused, which is noted."""
        try:
            return self._ready()
        except Exception as error:  # whatever is wrong with the new one, the old one answers
            self._refuse(versions, error)
            return None

    def _swap(self, state: ServedState) -> ServedState:
        """Answer from this state, with the changes that its index does not hold yet."""
        with self._taking:
            self._taken_up = None
            self._take_up(state)
            self.state = state
        return state

    def take_up(self) -> None:
        """Serve the changes of items that came since the last look."""
        with self._taking:
            self._take_up(self.state)

    def _take_up(self, state: ServedState) -> None:
        try:
            if self._taken_up is None:
                self._taken_up = self.changes.folded(state.index.about)
            pending = self.changes.since(self._taken_up, state.index.vectors_key)
        except ChangesFailure as failure:
            self._complain(failure)
            return
        self._complained = False
        if pending.fields or pending.vectors:
            state.index.change(pending.fields, pending.vectors)
        self._taken_up = pending.number

    def _complain(self, failure: ChangesFailure) -> None:
        if not self._complained:
            log.error("changes of items are not served: %s", failure)
        self._complained = True

    def encode_changed(self) -> None:
        """Encode changed texts, as many as a moment takes; the rest at the next look.

        Of all workers one at a time; the others take up what it kept."""
        if not self.state.index.live.waiting:
            return
        lock = try_lock(self.changes.path.with_name(_ENCODING))
        if lock is not None:
            try:
                self.take_up()  # what another one encoded meanwhile
                self._encode(self.state)
            finally:
                release(lock)

    def _encode(self, state: ServedState) -> None:
        with self._taking:
            texts = list(state.index.live.next_texts(_ENCODED_AT_A_LOOK).items())
        vectors: dict[bytes, Vectors] = {}
        for start in range(0, len(texts), _AT_ONCE):
            vectors |= self._encoded(state, dict(texts[start : start + _AT_ONCE]))
        if not vectors:
            return
        try:
            self.changes.keep_vectors(state.index.vectors_key, vectors)
        except ChangesFailure as failure:  # they are served here, and encoded again elsewhere
            log.error("vectors of changed texts cannot be kept: %s", failure)
            with self._taking:
                state.index.change({}, vectors)
        self.take_up()

    def _encoded(self, state: ServedState, texts: dict[bytes, str]) -> dict[bytes, Vectors]:
        """Vectors (d,) of texts, by digest. One that cannot be encoded costs itself, and waits
        behind the others."""
        try:
            encoded = state.query_vectors.passing(list(texts.values()))
            self._encodes = True
            return dict(zip(texts, encoded, strict=True))
        except Exception as error:
            if len(texts) > 1:
                each = (self._encoded(state, {digest: text}) for digest, text in texts.items())
                return {digest: vector for one in each for digest, vector in one.items()}
            if self._encodes:
                log.warning("a changed text cannot be encoded, and is tried again: %r", error)
            self._encodes = False
            with self._taking:
                state.index.live.put_off(texts)
            return {}

    def _look_at_changes(self) -> None:
        self.take_up()
        self.encode_changed()

    def known_items(self, item_ids: Sequence[str]) -> set[str]:
        """Which of these the index holds, or wait with a title for the next one."""
        rows = self.state.index.ids.rows(item_ids).tolist()
        known = {item_id for item_id, row in zip(item_ids, rows, strict=True) if row >= 0}
        try:
            return known | self.changes.titled(set(item_ids) - known)
        except ChangesFailure:  # whoever writes them will be told
            return set(item_ids)

    def watch(self) -> threading.Thread:
        """Look for as long as this process lives."""
        # A home that cannot be read for a moment must not end the watch.
        unseen = "cannot see the changes of items"
        every(_TAKE_UP_SECONDS, self._look_at_changes, "items", unseen)
        failure = f"cannot see what is published in {self._workspace.home}"
        return every(self._workspace.section(ReloadSettings).seconds, self._look, "reload", failure)

    def _look(self) -> None:
        self.refresh()
        self.histories.drop_unused()
        self.state.personal.profiles.drop_unused()

    def _ready(self) -> ServedState:
        """What is published, loaded and warm: the first shopper must not pay for that."""
        state = load_state(self._workspace, self.histories, self.breakers)
        check_canary(state)
        self._metrics.items.set(len(state.index))
        return state

    def _worth_trying(self, versions: tuple[str, ...]) -> bool:
        return versions != self._refused or time.monotonic() > self._retry_at

    def _refuse(self, versions: tuple[str, ...], error: Exception) -> None:
        if versions != self._refused:
            log.error(
                "a newly published version is refused, %s goes on answering: %s",
                self.state.index.version,
                error,
                exc_info=None if isinstance(error, Failure) else error,
            )
            self._metrics.reloads.labels("refused").inc()
        self._refused = versions
        # A version may be mended in place, and a full disk or too many open files may pass.
        self._retry_at = time.monotonic() + _RETRY_SECONDS


def blend_label(state: ServedState) -> str:
    """Name and version of the published blend, for people."""
    return f"{state.published.name} v{state.published_version}"


def check_canary(state: ServedState, ranker: DeadlineRanker | None = None) -> Ranking:
    """Re-rank a few of the index's own items on the main path; NotReady when that does not work.

    ranker: what a running service ranks with, so that it says within a second what hangs.
    """
    if not len(state.index):
        raise NotReady("The index holds no item.")
    rows = np.unique(np.linspace(0, len(state.index) - 1, _CANARIES).astype(np.int64))
    ids = state.index.ids.ids(rows)
    fresh = f"ready {time.monotonic_ns()}"  # a remembered query would not show a broken encoder
    request = RerankRequest([Candidate(item_id) for item_id in ids], query=fresh, personalize=False)
    if ranker is None:
        ranking = rerank(request, state)
    else:
        ranking = ranker.rerank(request, state, time.perf_counter() + _CANARY_SECONDS)
    if sorted(result.id for result in ranking.results) != sorted(ids):
        raise NotReady("Re-ranking the index's own items did not give them back.")
    # A model that knows none of its words has read the query all the same.
    missing = [
        part for part in ranking.degraded if part.count is None and part.reason != "unknown_query"
    ]
    if missing:
        left_out = ", ".join(f"{part.signal} ({part.reason})" for part in missing)
        raise NotReady(f"Re-ranking the index's own items left out {left_out}.")
    return ranking
