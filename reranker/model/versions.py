"""versions.py: a home -> its model versions, and whether one fits the served index."""

from typing import Final

from indexes.errors import Failure
from indexes.items.index import ItemIndex
from indexes.storage.versions import Version, VersionStore
from indexes.workspace import Workspace
from reranker.model.card import STATISTICS_CARD
from reranker.model.model_modalities import of_other_makers
from reranker.model.search_statistics import SEARCHES
from reranker.model.training_users import TRAINING_USERS

_MEND: Final = "Train it again with `reranker train`."


class ModelMismatch(Failure):
    """The model was trained on item vectors of another encoder than those the index now has."""

    code = "model_mismatch"


class ModelOutdated(Failure):
    """The model was published by a release that wrote less beside it."""

    code = "model_outdated"


def model_store(workspace: Workspace) -> VersionStore:
    """The model versions of a home."""
    return VersionStore(workspace.home / "model", mend=_MEND)


def check_fits(version: Version, index: ItemIndex) -> None:
    """ModelMismatch unless the index's vectors are those that the model learned to read.

    A kind of vector that the index lacks, such as pictures, is no mismatch: items then lack it.
    """
    trained_on = version.about.get("fingerprint")
    if trained_on != index.fingerprint:
        raise ModelMismatch(
            f"Model {version.id} was trained on item vectors of {trained_on}, "
            f"index {index.version} has those of {index.fingerprint}.",
            hint=f"{_MEND[:-1]}, or `reranker index rollback` to the index that it knows.",
        )
    for name in of_other_makers(version.folder, index):
        raise ModelMismatch(
            f"Model {version.id} was trained on {name} vectors of another maker than those of "
            f"index {index.version}: most items' have changed.",
            hint=f"{_MEND[:-1]}, or `reranker index rollback` to the index that it knows.",
        )


def check_whole(version: Version) -> None:
    """ModelOutdated unless everything that serving and evaluation read is there."""
    for name in (STATISTICS_CARD, SEARCHES, TRAINING_USERS):
        if not (version.folder / name).is_file():
            raise ModelOutdated(f"Model {version.id} has no {name}.", hint=_MEND)
