"""One process at a time, whoever is second is told who is first, and the dead hold nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.waiting import wait_until

from indexes.errors import Failure
from indexes.storage.locks import LockHeld, exclusive, release, try_lock, waiting

HOLD = """
import os, sys, time
from pathlib import Path
from indexes.storage.locks import exclusive
with exclusive(Path(sys.argv[1]), "testing the lock"):
    print("held", flush=True)
    if sys.argv[2] == "fork" and os.fork() == 0:
        time.sleep(60)
    sys.stdin.read()
"""
RACE = """
import sys
from pathlib import Path
from indexes.storage.locks import LockHeld, exclusive
print("ready", flush=True)
sys.stdin.readline()
try:
    with exclusive(Path(sys.argv[1]), "racing"):
        print("won", flush=True)
        sys.stdin.readline()
except LockHeld as held:
    print(held.code, flush=True)
"""


@contextmanager
def process(code: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-c", code, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)  # its forked children too
        except ProcessLookupError:
            pass
        child.communicate()


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout
    return child.stdout.readline().strip()


@pytest.mark.promise(10)
def test_the_second_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "lock"
    with process(HOLD, str(lock), "alone") as holder:
        assert said(holder) == "held"
        with pytest.raises(LockHeld) as raised, exclusive(lock, "second"):
            pass
        written = json.loads(lock.read_text())
        assert written["pid"] == holder.pid
        for part in (f"process {holder.pid} ", written["since"], "testing the lock", str(lock)):
            assert part in str(raised.value)
        assert raised.value.code == "lock_held"
        holder.communicate("done")
    with exclusive(lock, "afterwards"):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert lock.read_bytes() == b""


@pytest.mark.promise(10)
@pytest.mark.parametrize("children", ["alone", "fork"])
def test_a_killed_holder_holds_nothing(tmp_path: Path, children: str) -> None:
    lock = tmp_path / "lock"
    with process(HOLD, str(lock), children) as holder:
        assert said(holder) == "held"
        holder.kill()
        holder.wait()

        def free() -> bool:  # a child may be forked at this very moment
            fd = try_lock(lock)
            if fd is not None:
                release(fd)
            return fd is not None

        wait_until(free)
        with exclusive(lock, "taking over"):
            assert json.loads(lock.read_text())["purpose"] == "taking over"


def test_a_lock_is_free_again_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "lock", "failing"):
        raise ZeroDivisionError
    with exclusive(tmp_path / "lock", "next"):
        pass


def test_threads_exclude_each_other_too(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock", "first"):
        with pytest.raises(LockHeld), exclusive(tmp_path / "lock", "second"):
            pass


@pytest.mark.promise(10)
def test_of_ten_at_once_exactly_one_holds_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    contexts = [process(RACE, str(lock)) for _ in range(10)]
    children = [context.__enter__() for context in contexts]
    try:
        assert {said(child) for child in children} == {"ready"}
        for child in children:
            assert child.stdin
            child.stdin.write("go\n")
            child.stdin.flush()
        assert sorted(map(said, children)) == ["lock_held"] * 9 + ["won"]
    finally:
        for context in contexts:
            context.__exit__(None, None, None)


@pytest.mark.promise(10)
@pytest.mark.parametrize("content", [b"", b"nonsense", b'{"pid": "x"}', b"\xff" * 100])
def test_a_holder_that_does_not_say_who_it_is_holds_all_the_same(
    tmp_path: Path, content: bytes
) -> None:
    lock = tmp_path / "lock"
    with exclusive(lock, "first"):
        lock.write_bytes(content)
        with (
            pytest.raises(LockHeld, match="another process, which does not say who it is"),
            exclusive(lock, "second"),
        ):
            pass


def test_a_lock_that_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(Failure, match=r"lock cannot be locked: .+\. Mend the permissions"),
        exclusive(tmp_path / "file" / "lock", "nothing"),
    ):
        pass


def test_waiting_takes_turns(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def take_turn() -> None:
        for _ in range(20):
            with waiting(tmp_path / "lock"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=take_turn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 80
