"""doctor_fleet.py: a home that takes its set from a store -> whether it serves what is there."""

from contextlib import closing
from typing import Final

from indexes.items.changes import ItemChanges
from indexes.items.settings import ItemSettings
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from reranker.fleet.object_store import StoreFailure, open_store
from reranker.fleet.pull import local_set
from reranker.fleet.push import fingerprints
from reranker.fleet.sets import PublishedSet, read_pointer
from service.commands.doctor_findings import Finding
from service.live.settings import ReloadSettings

_MANY: Final = 0.8  # of what is allowed


def fleet(workspace: Workspace) -> Finding:
    """Whether this machine is as the one that published its set, where it takes sets."""
    source = workspace.section(ReloadSettings).source
    if not source:
        return Finding("fleet", "ok", "serves what is published in its own home")
    here = local_set(workspace.home)
    try:
        pointer = read_pointer(open_store(source))
    except StoreFailure as failure:
        return Finding("fleet", "warn", failure.message, "What is served goes on meanwhile.")
    if pointer is None:
        do = f"Run `reranker publish --to {source}` where the index is built."
        return Finding("fleet", "fail", f"{source} serves no set yet", do)
    if here is None or here.id != pointer.set:
        message = f"{source} serves {pointer.set}, this home {here.id if here else 'none'}"
        return Finding("fleet", "warn", message, "`reranker serve` takes it; its log says why not.")
    return _keys(workspace, here) or Finding("fleet", "ok", f"serves {here.id}, as {source} does")


def changes(workspace: Workspace) -> Finding:
    """How many changed items wait for the next rebuild; each worker has them in memory."""
    most = workspace.section(ItemSettings).changed_items
    version = VersionStore(workspace.index_root).current()
    with closing(ItemChanges(workspace.home, most)) as listed:
        waiting = len(listed.since(listed.folded(version.about) if version else 0).fields)
    message = f"{waiting:,} changed items wait for a rebuild (items.changed_items: {most:,})"
    if waiting >= _MANY * most:
        do = "Run `reranker rebuild --items FILE`, which folds them in; beyond it more are refused."
        return Finding("changes", "warn", message, do)
    return Finding("changes", "ok", message)


def _keys(workspace: Workspace, here: PublishedSet) -> Finding | None:
    """What is wrong with the keys of this machine."""
    pseudonyms, api_keys = fingerprints(workspace.home)
    if here.pseudonyms and pseudonyms != here.pseudonyms:
        do = "Copy <home>/pseudonyms/keys from there; without it nobody is recognised here."
        return Finding("fleet", "warn", "its pseudonym keys are not the publisher's", do)
    if here.api_keys and api_keys != here.api_keys:
        do = "Copy <home>/keys/keys.json from there, if callers use one key for all machines."
        return Finding("fleet", "warn", "its API keys are not the publisher's", do)
    return None
