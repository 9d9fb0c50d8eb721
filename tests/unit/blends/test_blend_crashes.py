"""Blends when a process is killed at each step of storing, publishing and rolling back."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from indexes.storage.versions import CRASH_POINTS
from reranker.blends.blend import DEFAULT
from reranker.blends.store import BlendStore

CHANGE = """
import sys
from pathlib import Path
import msgspec
from reranker.blends.store import BlendStore
from reranker.blends.blend import DEFAULT
store = BlendStore(Path(sys.argv[1]))
{"import": lambda: store.save(msgspec.structs.replace(DEFAULT, name="new"), publish=True),
 "publish": lambda: store.publish("other"), "rollback": store.rollback}[sys.argv[2]]()
"""
# What a switch of the link alone passes; storing a version passes every point.
SWITCHING = ("link_made", "link_swapped")
# Blends are never pruned.
STORING = [point for point in CRASH_POINTS if not point.startswith("prune")]
STEPS = [("import", point) for point in STORING] + [
    (what, point) for what in ("publish", "rollback") for point in SWITCHING
]


@pytest.mark.promise(32)
@pytest.mark.parametrize(("what", "point"), STEPS)
def test_the_old_blend_is_published_or_the_new(
    tmp_path: Path, what: str, point: str, record_property: Any
) -> None:
    record_property("runs", 1)
    store = BlendStore(tmp_path / "blends")
    store.published_or_default()
    store.save(DEFAULT.__class__(name="other", signals=DEFAULT.signals), publish=what == "rollback")
    before = store.published_or_default()
    child = subprocess.run(
        [sys.executable, "-c", CHANGE, str(tmp_path / "blends"), what],
        env=os.environ | {"RERANKER_CRASH_AT": point},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 137, child.stderr
    switched = CRASH_POINTS.index(point) >= CRASH_POINTS.index("link_swapped")
    after = {"import": ("new", 1), "publish": ("other", 1), "rollback": ("default", 1)}[what]
    blend, number = BlendStore(tmp_path / "blends").published_or_default()
    assert (blend.name, number) == (after if switched else (before[0].name, before[1]))
    # Nothing keeps the next step from being taken, and back from it to what was there.
    stored, number = store.save(
        DEFAULT.__class__(name="next", signals=DEFAULT.signals), publish=True
    )
    assert store.published_or_default()[0].name == "next"
    back = store.rollback()
    assert back.name == (after[0] if switched else before[0].name)
