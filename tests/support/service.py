"""service.py: homes -> real services, and what they are asked."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from indexes.storage.versions import Version, VersionStore

PROGRAM = Path(sys.executable).parent / "reranker"
BODY = {"query": "coffee maker", "candidates": [{"id": f"{number}"} for number in range(30)]}


def publish_again(home: Path, *, damaged: bool = False) -> Version:
    """A new version with the same files as the current one, sound when published."""
    store = VersionStore(home / "index")
    old = store.current()
    assert old is not None and old.manifest is not None
    with store.stage() as staged:
        for name in old.manifest.files:
            (staged / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(old.folder / name, staged / name)
        new = store.publish(staged, old.manifest.about, switch=False)
    if damaged:
        path = new.folder / "vectors.faiss"
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.seek(100)
            byte = file.read(1)
            file.seek(100)
            file.write(bytes([byte[0] ^ 1]))
    store.switch_to(new.id)
    return new


class Running:
    """A started `reranker serve` and the way to talk to it."""

    def __init__(self, process: subprocess.Popen[str], port: int, banner: str) -> None:
        self.process, self.port, self.banner = process, port, banner

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=180)
        try:
            sent = None if body is None else json.dumps(body).encode()
            connection.request("GET" if sent is None else "POST", path, sent, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(180)


def command(home: Path, *args: str) -> list[str]:
    return [str(PROGRAM), "--home", str(home), "serve", *args]


# No search is refused however long the machine takes: for tests of other things than the gate.
ALL_LET_IN = {"RERANKER_ADMISSION_BUDGET_SHARE": "1000"}


def environment(**variables: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RERANKER")}
    patient = {"OMP_NUM_THREADS": "1", "RERANKER_RANKING_BUDGET_MS": "60000"}
    patient["RERANKER_SERVE_DRAIN_SECONDS"] = "0"
    return clean | patient | variables


@contextmanager
def serving(
    home: Path, *args: str, within: Sequence[str] = (), **variables: str
) -> Iterator[Running]:
    """A service until the block ends. within: a command that starts the one after it."""
    process = subprocess.Popen(
        [*within, *command(home, "--port", "0", *args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**variables),
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        address = re.search(r"http://(?:127\.0\.0\.1|0\.0\.0\.0):(\d+)", lines[0])
        assert address, (lines, process.communicate(timeout=10))
        yield Running(process, int(address[1]), "".join(lines))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def refused(home: Path, *args: str, **variables: str) -> str:
    """What serve says when it does not start."""
    done = subprocess.run(
        command(home, *args),
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(**variables),
    )
    assert done.returncode == 1, done
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def workers(service: Running) -> list[int]:
    pid = service.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
