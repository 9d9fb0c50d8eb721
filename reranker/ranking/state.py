"""state.py: the published versions of one home -> the one consistent set that answers requests."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from indexes.cached import lazily
from indexes.encoders.query_encoder import load_query_encoder
from indexes.errors import Failure
from indexes.items.index import ItemIndex, published_version
from indexes.workspace import Workspace
from reranker.attributes.attributes import Attributes
from reranker.blends.blend import Blend
from reranker.blends.store import BlendStore
from reranker.histories.histories import Histories
from reranker.histories.store import open_histories
from reranker.model.item_statistics import ItemStatistics
from reranker.model.learned import Learned
from reranker.model.next_action import load_next_action
from reranker.model.search_statistics import SearchStatistics
from reranker.model.served_model import ServedModel
from reranker.model.versions import (
    ModelMismatch,
    ModelOutdated,
    check_fits,
    check_whole,
    model_store,
)
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.ranking.query_towers import query_towers
from reranker.ranking.settings import RankingSettings
from reranker.runtime.budget import ENCODER, Breakers
from reranker.runtime.caches import QueryVectors
from reranker.runtime.guarded_encoder import GuardedEncoder
from reranker.signals.user_history import Personalization
from reranker.signals.user_profiles import UserProfiles

log = logging.getLogger("reranker")


class NamedBlend(NamedTuple):
    """A blend and its version. name: what it goes by where several are held against each other.
    weights: what its signals are multiplied by, as in a request.
    """

    name: str
    blend: Blend
    version: int
    weights: Mapping[str, float] = {}


@dataclass(frozen=True)
class ServedState:
    """One index, its query encoder and the blends, read together and swapped together.

    towers: by modality, what reads a query into the space of its vectors, where something does.
    """

    index: ItemIndex
    query_vectors: QueryVectors
    published: Blend
    published_version: int
    store: BlendStore
    keys: PseudonymKeys
    text_limit: int
    others: dict[str, tuple[Blend, int]] = field(default_factory=dict)  # asked for by name so far
    personal: Personalization = field(default_factory=Personalization)
    towers: Mapping[str, QueryVectors] = field(default_factory=dict)

    @lazily
    def model(self) -> ServedModel | None:
        """The sequence encoder that answers, if there is one that fits the index."""
        return self.personal.learned.model if self.personal.learned else None

    @lazily
    def versions(self) -> dict[str, str | None]:
        """Which versions answer, for every response."""
        return {"index": self.index.version, "model": self.model.version if self.model else None}

    def blend(self, name: str | None) -> tuple[Blend, int]:
        """The published blend, the newest version of the one named, or exactly `name@version`.

        UnknownBlend where there is none.
        """
        if name is None or name == self.published.name:
            return self.published, self.published_version
        known = self.others.get(name)
        if known is None:
            known = self.others.setdefault(name, self._stored(name))
        return known

    def named(self, name: str | None) -> NamedBlend:
        """The same with the name that it was asked for by, or the published blend's own."""
        return NamedBlend(self.published.name if name is None else name, *self.blend(name))

    def _stored(self, name: str) -> tuple[Blend, int]:
        if "@" in name:
            return self.store.get(name)
        return self.store.newest(name, besides=[self.published.name])


def published(home: Path) -> tuple[str, ...]:
    """What is current, cheap enough to ask every second: it changes when anything is published."""
    links = [home / name / "current" for name in ("index", "blends", "model")]
    current = tuple(os.readlink(link) if link.is_symlink() else "" for link in links)
    blends = home / "blends" / "versions"  # unpublished versions can be asked for by name
    return (*current, str(blends.stat().st_mtime_ns) if blends.is_dir() else "")


def load_state(
    workspace: Workspace, histories: Histories | None = None, breakers: Breakers | None = None
) -> ServedState:
    """Open everything that is published; Failure says what is missing and the command for it.

    histories: those that are open already, for a process that reads them in other places, too.
    breakers: of a service, where a history or an encoder that hangs must not hold up an answer.
    """
    index = ItemIndex(published_version(workspace))
    settings = workspace.section(RankingSettings)
    encoder = load_query_encoder(index.encoder_folder, settings.encoder_threads)
    if encoder.fingerprint != index.fingerprint:
        raise Failure(
            f"Index {index.version} was made by encoder {index.fingerprint}, "
            f"its query encoder is {encoder.fingerprint}.",
            hint="Run `reranker rebuild` again.",
        )
    blends = BlendStore(workspace.blends_root)
    blend, number = blends.published_or_default()
    guarded = GuardedEncoder(encoder, index.dimensions, breakers.of(ENCODER)) if breakers else None
    return ServedState(
        index=index,
        query_vectors=QueryVectors(guarded or encoder, settings.query_cache),
        published=blend,
        published_version=number,
        store=blends,
        keys=PseudonymKeys(workspace.home),
        text_limit=settings.text_limit,
        personal=load_personal(workspace, index, histories or open_histories(workspace)),
        towers=query_towers(index, settings, breakers),
    )


def load_personal(workspace: Workspace, index: ItemIndex, histories: Histories) -> Personalization:
    """Model, statistics, histories; a model that does not fit the index is left out, logged."""
    profiles = UserProfiles(workspace.section(RankingSettings).user_cache)
    store = model_store(workspace)
    without_model = Personalization(
        recent=histories.recent,
        profiles=profiles,
        same_person=histories.same_person,
        at_hand=histories.at_hand,
        attributes=Attributes(workspace.home).of,
    )
    version = store.current()
    if version is None:
        return without_model
    store.ensure_verified(version)
    try:
        check_fits(version, index)
        check_whole(version)
    except (ModelMismatch, ModelOutdated) as failure:
        log.warning("the model is left out: %s %s", failure, failure.hint)
        return replace(without_model, reason=failure.code)
    model = ServedModel(version, index)
    learned = Learned(
        model,
        ItemStatistics(version.folder, index),
        SearchStatistics(version.folder),
        load_next_action(model),
    )
    return replace(without_model, learned=learned)
