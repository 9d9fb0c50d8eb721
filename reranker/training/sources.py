"""sources.py: a home -> the published index and the imported events that a training reads."""

from indexes.errors import Failure
from indexes.items.index import ItemIndex
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.events.settings import event_weights
from reranker.histories.store import open_histories
from reranker.model.settings import TrainSettings
from reranker.ranking.state import NoIndex
from reranker.training.sequences import Sequences, kept_events, noting_sessions, sequences_of


class NoEvents(Failure):
    """Nothing was imported yet."""

    code = "no_events"


def published_index(workspace: Workspace) -> ItemIndex:
    """The served index; NoIndex before the first one."""
    store = VersionStore(workspace.index_root)
    version = store.current()
    if version is None:
        raise NoIndex(
            f"No index is published in {workspace.home}.",
            hint="Run `reranker rebuild --items FILE` first: events are read by their items' text.",
        )
    store.ensure_verified(version)
    return ItemIndex(version)


def imported_sequences(workspace: Workspace, sessions: dict[str, str] | None = None) -> Sequences:
    """Every kept history; NoEvents where there is none.

    sessions: filled with those that became a user's, and whose.
    """
    histories = open_histories(workspace)
    try:
        most = workspace.section(TrainSettings).user_events
        events = kept_events(histories, most)
        if sessions is not None:
            events = noting_sessions(events, sessions)
        sequences = sequences_of(events, event_weights(workspace))
    finally:
        histories.close()
    if not len(sequences):
        raise NoEvents(
            f"No event is kept in {workspace.home}.",
            hint="Run `reranker events import FILE` first.",
        )
    return sequences
