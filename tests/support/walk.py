"""walk.py: one personal request through the service -> the files of ours that it passes.

Who follows one candidate opens every file that is entered, and turns back to one that was left
already each time that it is entered again. Both are counted, in each thread for itself:

    python tests/support/walk.py [--list]
"""

import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = tuple(f"{ROOT}/{package}/" for package in ("indexes", "reranker", "service"))


@dataclass
class Walk:
    """calls: the functions of ours that each thread entered, in order."""

    calls: dict[int, list[CodeType]] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """Every file that was entered, once."""
        return list(dict.fromkeys(_file(code) for thread in self.calls.values() for code in thread))

    @property
    def returns(self) -> int:
        """How often a file was entered that had been left before."""
        return sum(_returns(thread) for thread in self.calls.values())

    @property
    def returns_of_a_reader(self) -> int:
        """The same for somebody who reads each function only where it is called first."""
        return sum(_returns(dict.fromkeys(thread)) for thread in self.calls.values())


def _file(code: CodeType) -> str:
    return code.co_filename.removeprefix(f"{ROOT}/")


def _returns(calls: Iterable[CodeType]) -> int:
    """Steps from one file to another, less the first step into each."""
    files = [_file(code) for code in calls]
    steps = [file for file, before in zip(files, [None, *files], strict=False) if file != before]
    return len(steps) - len(set(steps))


class Walker:
    """Follows calls in this thread and in all that begin later, while `walking`."""

    def __init__(self) -> None:
        self._walk: Walk | None = None
        threading.setprofile(self._called)
        sys.setprofile(self._called)

    @contextmanager
    def walking(self) -> Iterator[Walk]:
        """The walk of what is done in the block."""
        self._walk = walk = Walk()
        try:
            yield walk
        finally:
            self._walk = None

    def stop(self) -> None:
        """Follow nothing more."""
        sys.setprofile(None)
        threading.setprofile(None)

    def _called(self, frame: FrameType, event: str, _arg: Any) -> None:
        walk, code = self._walk, frame.f_code
        if walk is not None and event == "call" and code.co_filename.startswith(OURS):
            walk.calls.setdefault(threading.get_ident(), []).append(code)


def walks(home: Path) -> tuple[Walk, Walk]:
    """The first personal request to a service on this trained home, and the second one like it."""
    from indexes.workspace import Workspace
    from reranker.ranking.settings import RankingSettings
    from service.app import create_app

    walker = Walker()
    try:
        patient = RankingSettings(budget_ms=60_000)
        client = create_app(Workspace(home, {RankingSettings: patient})).test_client()
        asked = {
            "query": "red running shoes",
            "user": "u1",
            "candidates": [{"id": str(number)} for number in range(20)],
        }
        found = []
        for _ in range(2):
            with walker.walking() as walk:
                answer = client.post("/rerank", json=asked)
            assert answer.status_code == 200, answer.text
            assert answer.get_json()["degraded"] == [], answer.text
            found.append(walk)
    finally:
        walker.stop()
    return found[0], found[1]


def main() -> None:
    """Make a small trained home as the tests do, and print what the two requests pass."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from support.shop import build_shop, train_shop

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shop, trained = Path(folder) / "shop", Path(folder) / "trained"
        for made in (shop, trained):
            made.mkdir()
        home = train_shop(build_shop(shop), trained)
        first, second = walks(home)
    for name, walk in (("first", first), ("second", second)):
        sys.stdout.write(
            f"{name} request: {len(walk.files)} files, {walk.returns} returns "
            f"({walk.returns_of_a_reader} where each function is read once)\n"
        )
        if "--list" in sys.argv:
            sys.stdout.writelines(f"    {path}\n" for path in walk.files)


if __name__ == "__main__":
    main()
