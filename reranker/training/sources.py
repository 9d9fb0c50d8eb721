"""sources.py: a home -> the published index and the imported events that a training reads."""

from contextlib import closing

from indexes.errors import Failure
from indexes.items.index import ItemIndex, published_version
from indexes.workspace import Workspace
from reranker.events.settings import event_weights
from reranker.histories.store import open_histories
from reranker.model.settings import TrainSettings
from reranker.training.sequences import Sequences, kept_events, noting_sessions, sequences_of


class NoEvents(Failure):
    """Nothing was imported yet."""

    code = "no_events"


def published_index(workspace: Workspace) -> ItemIndex:
    """The served index; NoIndex before the first one."""
    return ItemIndex(published_version(workspace))


def imported_sequences(
    workspace: Workspace, sessions: dict[str, str] | None = None, until: float | None = None
) -> Sequences:
    """Every kept history before `until`; NoEvents where there is none.

    sessions: filled with those that became a user's, and whose.
    """
    most = workspace.section(TrainSettings).user_events
    with closing(open_histories(workspace)) as histories:
        events = kept_events(histories, most, until)
        if sessions is not None:
            events = noting_sessions(events, sessions)
        sequences = sequences_of(events, event_weights(workspace))
    if not len(sequences):
        before = "" if until is None else " from before --until"
        raise NoEvents(
            f"No event{before} is kept in {workspace.home}.",
            hint="Run `reranker events import FILE` first.",
        )
    return sequences
