"""swaps.py: a home -> the same with something else published."""

import shutil

import msgspec

from indexes.workspace import Workspace
from reranker.blends.store import BlendStore
from reranker.model.versions import model_store


def _swap_blend(workspace: Workspace, number: int) -> None:
    blends = BlendStore(workspace.blends_root)
    blend, _ = blends.published_or_default()
    semantic = msgspec.structs.replace(blend.signals["semantic"], weight=0.5 + number % 7)
    changed = msgspec.structs.replace(blend, signals=blend.signals | {"semantic": semantic})
    blends.save(changed, publish=True)


def _swap_model(workspace: Workspace, _number: int) -> None:
    store = model_store(workspace)
    old = store.current()
    with store.stage() as staged:
        for name in old.manifest.files:
            (staged / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(old.folder / name, staged / name)
        store.publish(staged, old.manifest.about)
