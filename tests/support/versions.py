"""Small versions to publish, and what must hold for a store after anything that happens to it."""

import os
from pathlib import Path

from indexes.storage.versions import Version, VersionStore

FILES = ("items.bin", "encoder/query.onnx", "encoder/tokenizer.json")


def fill(folder: Path, text: str) -> None:
    """A version whose files all say which one it is."""
    (folder / "encoder").mkdir()
    for name in FILES:
        (folder / name).write_text(f"{text} {name} " * 50)


def publish(store: VersionStore, text: str, *, switch: bool = True) -> Version:
    with store.stage() as staged:
        fill(staged, text)
        return store.publish(staged, {"text": text}, switch=switch)


def text_of(version: Version | None) -> str:
    """Which one it is; an error if its files are not all of the same one."""
    assert version is not None
    found = {(version.folder / name).read_text().split(" ")[0] for name in FILES}
    assert found == {version.about["text"]}
    return str(version.about["text"])


def assert_whole(store: VersionStore) -> None:
    """Every version is sound, one is served, and nothing is left over."""
    assert text_of(store.current())
    assert [problem for version in store.versions() for problem in store.verify(version)] == []
    assert sorted(os.listdir(store.root / "work")) == ["publish.lock"]
