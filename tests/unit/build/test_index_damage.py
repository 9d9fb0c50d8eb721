"""Every file of a real index, damaged in every way: refused by name before FAISS reads a byte."""

import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from support.shop import small_shop, write_items
from support.tiny_models import tiny_bert

from indexes.build.rebuild import rebuild
from indexes.encoders.settings import EncoderSettings
from indexes.items.index import ItemIndex
from indexes.progress import silent
from indexes.storage.manifests import MANIFEST
from indexes.storage.versions import Damaged, VersionStore
from indexes.workspace import Workspace
from reranker.ranking.ranking import rerank
from reranker.ranking.state import load_state
from reranker.requests import Candidate, RerankRequest

HEAVY = pytest.mark.heavy


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a small index; a model of the real kind, 1 MB."""
    folder = tmp_path_factory.mktemp("damage")
    model = EncoderSettings(model=str(tiny_bert(folder / "model")))
    workspace = Workspace(folder / "home", {EncoderSettings: model})
    items = small_shop()
    for price in (1.0, 2.0):
        items[0] |= {"price": price, "title": f"Red running shoes {price}", "brand": f"B{price}"}
        rebuild(workspace, write_items(folder / "items.jsonl", items), progress=silent)
    return workspace.home


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What FAISS is given to read."""
    found: list[str] = []
    real = faiss.read_index

    def noted(path: str, *more: Any) -> Any:
        found.append(path)
        return real(path, *more)

    monkeypatch.setattr(faiss, "read_index", noted)
    return found


def damages(content: bytes, other: bytes, flips: int) -> Iterator[bytes | None]:
    """What is in the file instead; None: it is gone."""
    chance = random.Random(8)
    yield content[: len(content) // 2]
    yield content[:-1]
    yield b""
    yield None
    yield content + b"\0"
    if other != content:
        yield other
    for _ in range(flips):
        place, bit = chance.randrange(len(content)), chance.randrange(8)
        yield content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


@pytest.mark.promise(8)
@pytest.mark.parametrize("flips", [2, pytest.param(20, marks=HEAVY)])
def test_any_damage_to_any_file_is_refused_by_name_before_it_is_parsed(
    home: Path, reads: list[str], flips: int, record_property: Callable[[str, object], None]
) -> None:
    store = VersionStore(home / "index")
    before, served = store.versions()
    assert served.manifest is not None
    tried = 0
    for name in [*served.manifest.files, MANIFEST]:
        path = served.folder / name
        path.parent.chmod(0o755)
        path.chmod(0o644)
        sound = path.read_bytes()
        for content in damages(sound, (before.folder / name).read_bytes(), flips):
            path.unlink() if content is None else path.write_bytes(content)
            reads.clear()
            with pytest.raises(Damaged, match=r"index rollback") as refused:
                load_state(Workspace(home))
            assert path.name in str(refused.value)
            assert not reads, "FAISS was given a file of a damaged version"
            path.write_bytes(sound)
            tried += 1
    load_state(Workspace(home))
    assert len(reads) == 1
    record_property("runs", tried)


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


@pytest.mark.promise(26)
def test_a_pickle_in_any_file_of_a_sound_version_does_not_run(
    home: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Somebody who may publish, and so may sign, still runs nothing."""
    bomb = Bomb(tmp_path / "bang")
    pickle.loads(pickle.dumps(bomb))
    assert bomb.folder.is_dir(), "the bomb is one"
    bomb.folder.rmdir()
    own = tmp_path / "home"
    shutil.copytree(home, own, symlinks=True)
    store = VersionStore(own / "index")
    sound = VersionStore(home / "index").versions()[0]
    assert sound.manifest is not None
    for name in sound.manifest.files:
        with store.stage() as staged:
            for each in sound.manifest.files:
                (staged / each).parent.mkdir(exist_ok=True)
                shutil.copyfile(sound.folder / each, staged / each)
            if name.endswith(".npy"):
                np.save(staged / name, np.array([bomb], dtype=object), allow_pickle=True)
            else:
                (staged / name).write_bytes(pickle.dumps(bomb))
            version = store.publish(staged, sound.about)
        with suppress(Exception):
            ItemIndex(version)
        with suppress(Exception):
            state = load_state(Workspace(own))
            asked = [Candidate(str(n)) for n in range(9)]
            rerank(RerankRequest(asked, query="red shoes", explain=True), state)
        assert not bomb.folder.exists(), name
        store.prune(1)
    record_property("runs", len(sound.manifest.files))
