"""forget.py: a user or session -> deleted everywhere in the home, with the proof of it."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from indexes.workspace import Workspace
from reranker.attributes.attributes import Attributes
from reranker.feedback.files import rankings_folder
from reranker.feedback.logged_shopper import LoggedShopper
from reranker.histories.histories import Histories, Shopper
from reranker.model.card import CHECKPOINT
from reranker.model.versions import model_store
from reranker.privacy.erasure import Searched, search_home
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.pseudonyms.pseudonyms import Pseudonyms
from reranker.pseudonyms.raw_names import pseudonyms_of
from reranker.pseudonyms.text_search import can_be_searched


class OlderModel(msgspec.Struct, frozen=True):
    """A model that was trained before. It holds no name and no history of anybody.

    learned_from: whether the shopper's events were among those it learned from (a keyed hash of
    each shopper is kept for the leak check); None where that cannot be told.
    """

    version: str
    trained: str
    learned_from: bool | None


class ForgetProof(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted where, and what was found when everything was read again.

    verified: nothing is kept under the name, every file was read to its end, and none holds the
    pseudonyms or the name. name_searched: the name was looked for, and searched_as how: "text",
    anywhere, or "values", where that would mean nothing (short ids, numbers): whole users and
    sessions in JSON and tables. receipt: SHA-256 of the rest as JSON with sorted keys: this answer
    can be kept as proof that it was given.
    """

    user: str
    pseudonym: str
    time: str
    known: bool
    events: int
    sessions: int
    rankings: int
    verified: bool
    name_searched: bool
    searched_as: str
    searched: Searched
    models: list[OlderModel]
    attributes: int = 0
    receipt: str = ""


class _Deleted(NamedTuple):
    events: int
    sessions: int
    rankings: int
    attributes: int
    known: bool


def forget(workspace: Workspace, histories: Histories, who: Shopper) -> ForgetProof:
    """Delete a shopper and read everything again. known is False where nothing was kept.

    Failure where something cannot be deleted, or the keys are gone by which it would be known.
    """
    name = who.user if who.user is not None else who.session or ""
    names = PseudonymKeys(workspace.home).known()
    hidden = histories.hidden(who)
    forms = histories.stored_as(who)
    events = (event for form in forms for event in histories.export(*form))
    sessions = {event.session for event in events if event.session}
    deleted = _delete(workspace, histories, who, forms, sessions)
    remaining = len(histories.recent(who.user, who.session, n=1)) + len(histories.stored_as(who))
    pseudonym = (hidden.user if who.user is not None else hidden.session) or name
    every = _of_every_key(names, who, sessions)
    histories.close()  # reading its files beside open connections would drop their locks
    again = search_home(workspace.home, {name, pseudonym, *every})
    proof = ForgetProof(
        user=name,
        pseudonym=pseudonym if pseudonym != name else "",
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        known=deleted.known,
        events=deleted.events,
        sessions=deleted.sessions,
        rankings=deleted.rankings,
        verified=not again.found and not again.unread and not remaining,
        name_searched=True,
        searched_as="text" if can_be_searched(name) else "values",
        searched=again,
        models=_models(workspace, pseudonym),
        attributes=deleted.attributes,
    )
    return msgspec.structs.replace(proof, receipt=receipt_of(proof))


def _delete(
    workspace: Workspace,
    histories: Histories,
    who: Shopper,
    forms: list[Shopper],
    sessions: set[str],
) -> _Deleted:
    names = PseudonymKeys(workspace.home).known()
    folder = rankings_folder(workspace)
    rankings = LoggedShopper(folder, names, who.user, who.session, sessions).erase()
    attributes = Attributes(workspace.home).forget(who.user)
    if forms:  # before the events: cut off in between, the next run still finds whom it was of
        # The next training begins with nothing that was learned from them.
        (workspace.home / "model" / "work" / CHECKPOINT).unlink(missing_ok=True)
    forgotten = [histories.forget(*form) for form in forms]
    return _Deleted(
        events=sum(each.events for each in forgotten),
        sessions=sum(each.sessions for each in forgotten),
        rankings=rankings,
        attributes=attributes,
        known=rankings > 0 or attributes > 0 or any(each.known for each in forgotten),
    )


def _of_every_key(names: Pseudonyms | None, who: Shopper, sessions: set[str]) -> set[str]:
    """What a shopper was called under each of the home's keys, and their sessions."""
    if names is None:
        return set()
    if who.user is None:
        return pseudonyms_of(names, who.session or "", is_user=False)
    theirs = (pseudonyms_of(names, session, is_user=False) for session in sessions)
    return pseudonyms_of(names, who.user, is_user=True).union(*theirs)


def receipt_of(proof: ForgetProof) -> str:
    """SHA-256 of everything else that the proof says."""
    fields = msgspec.to_builtins(proof)
    del fields["receipt"]
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()


def _models(workspace: Workspace, pseudonym: str) -> list[OlderModel]:
    models = []
    for version in model_store(workspace).versions():
        created = version.manifest.created if version.manifest else ""
        learned = _learned_from(version.folder, workspace, pseudonym)
        models.append(OlderModel(version.id, created, learned))
    return models


def _learned_from(folder: Path, workspace: Workspace, pseudonym: str) -> bool | None:
    from indexes.errors import Failure
    from reranker.model.training_users import TrainingUsers

    try:
        return pseudonym in TrainingUsers(folder, PseudonymKeys(workspace.home))
    except (OSError, Failure):
        return None
