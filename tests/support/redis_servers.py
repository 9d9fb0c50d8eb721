"""redis_servers.py: an empty folder -> real Redis servers on free ports, alone or as a cluster."""

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.waiting import wait_until

SERVER = "redis-server"


def needed() -> None:
    """Skip where the server or its client is not installed; .ci/run installs both."""
    pytest.importorskip("redis")
    if shutil.which(SERVER) is None:
        pytest.skip(f"{SERVER} is not installed")


def free_port() -> int:
    """A port below those that a cluster's bus needs besides (+10,000)."""
    while True:
        with socket.socket() as own, socket.socket() as bus:
            own.bind(("127.0.0.1", 0))
            port = own.getsockname()[1] % 20_000 + 20_000
            try:
                with socket.socket() as wanted:
                    wanted.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


class Server:
    """One server, started in its folder; it can be killed, stopped for a while, and started."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self._options = options
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        own = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder))
        kept = ("--appendonly", "yes", "--save", "", "--logfile", str(self.folder / "log"))
        process = subprocess.Popen([SERVER, *own, *kept, *self._options])
        wait_until(lambda: self.ask("PING") in (b"PONG", True))
        return process

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def ask(self, *words: Any) -> Any:
        """The answer, or the error."""
        import redis

        with redis.Redis(port=self.port, socket_timeout=20, protocol=2) as client:
            try:
                return client.execute_command(*words)
            except redis.RedisError as error:
                return error

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def again(self) -> None:
        self.process = self._start()

    def hang(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        if self.process.poll() is None:
            self.go_on()
            self.kill()


@contextmanager
def server(folder: Path, *options: str) -> Iterator[Server]:
    """One server until the block ends."""
    started = Server(folder, *options)
    try:
        yield started
    finally:
        started.end()


@contextmanager
def cluster(folder: Path, primaries: int = 3, replicas: int = 1) -> Iterator[list[Server]]:
    """So many primaries, each with so many replicas, until the block ends; primaries first."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    with ExitStack() as stack:
        count = primaries * (1 + replicas)
        servers = [stack.enter_context(server(folder / str(n), *options)) for n in range(count)]
        addresses = [f"127.0.0.1:{one.port}" for one in servers]
        make = ["redis-cli", "--cluster", "create", *addresses]
        made = [*make, "--cluster-replicas", str(replicas), "--cluster-yes"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        wait_until(lambda: all(_is_whole(one) for one in servers))
        yield sorted(servers, key=lambda one: one.ask("ROLE")[0] != b"master")


def _is_whole(one: Server) -> bool:
    state = one.ask("CLUSTER", "INFO")
    text = state.decode() if isinstance(state, bytes) else str(state)
    role = one.ask("ROLE")
    ready = role[0] == b"master" or (role[0] == b"slave" and role[3] == b"connected")
    return ("cluster_state:ok" in text or "'cluster_state': 'ok'" in text) and ready


def cluster_url(servers: list[Server]) -> str:
    return "redis://" + ",".join(f"127.0.0.1:{one.port}" for one in servers)
