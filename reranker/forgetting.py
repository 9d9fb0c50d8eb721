"""forgetting.py: a user or session -> deleted everywhere in the home, with the proof of it."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from indexes.workspace import Workspace
from reranker.erasure import Searched, can_be_searched, search_home
from reranker.histories import Histories, Shopper
from reranker.model_versions import model_store
from reranker.pseudonym_keys import PseudonymKeys
from reranker.pseudonyms import Pseudonyms
from reranker.ranking_files import LoggedShopper, rankings_folder


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

    verified: nothing is kept under the name, and no file holds the pseudonyms, nor the name where
    it is long enough to be searched for (name_searched). receipt: SHA-256 of the rest as JSON with
    sorted keys: this answer can be kept as proof that it was given.
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
    searched: Searched
    models: list[OlderModel]
    receipt: str = ""


def forget(workspace: Workspace, histories: Histories, who: Shopper) -> ForgetProof:
    """Delete a shopper and read everything again. known is False where nothing was kept."""
    user, session = who
    name = user if user is not None else session or ""
    names = PseudonymKeys(workspace.home).read()
    kept = histories.hidden(who)
    sessions = {event.session for event in histories.export(user, session) if event.session}
    logged = LoggedShopper(
        rankings_folder(workspace), names, user=user, session=session, sessions=sessions
    )
    rankings = logged.erase()
    gone = histories.forget(user, session)
    left = len(histories.recent(user, session, n=1))
    pseudonym = (kept.user if user is not None else kept.session) or name
    hidden = {histories.hidden(Shopper(None, one)).session or one for one in sessions}
    every = _of_every_key(names, who)
    again = search_home(
        workspace.home, {name, pseudonym, *every, *(hidden if user is not None else ())}
    )
    proof = ForgetProof(
        user=name,
        pseudonym=pseudonym if pseudonym != name else "",
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        known=gone.known or rankings > 0,
        events=gone.events,
        sessions=gone.sessions,
        rankings=rankings,
        verified=not again.found and not left,
        name_searched=can_be_searched(name),
        searched=again,
        models=_models(workspace, pseudonym),
    )
    return msgspec.structs.replace(proof, receipt=receipt_of(proof))


def _of_every_key(names: Pseudonyms | None, who: Shopper) -> set[str]:
    """What a shopper was called under each of the home's keys."""
    if names is None:
        return set()
    by_key = [names.at(generation) for generation in range(1, names.generation + 1)]
    if who.user is not None:
        return {one.user(who.user) for one in by_key}
    return {one.session(who.session or "") for one in by_key}


def receipt_of(proof: ForgetProof) -> str:
    """SHA-256 of everything else that the proof says."""
    said = msgspec.to_builtins(proof)
    del said["receipt"]
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


def _models(workspace: Workspace, pseudonym: str) -> list[OlderModel]:
    found = []
    for version in model_store(workspace).versions():
        created = version.manifest.created if version.manifest else ""
        learned = _learned_from(version.folder, workspace, pseudonym)
        found.append(OlderModel(version.id, created, learned))
    return found


def _learned_from(folder: Path, workspace: Workspace, pseudonym: str) -> bool | None:
    from indexes.errors import Failure
    from reranker.trained_shoppers import TrainedShoppers

    try:
        return pseudonym in TrainedShoppers(folder, PseudonymKeys(workspace.home))
    except (OSError, Failure):
        return None
