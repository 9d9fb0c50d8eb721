"""redis_nodes.py: commands on keys -> answers of a server, or of a cluster, in bounded time.

redis-py's own cluster client waits seconds for a node that is away, whatever it was told. Here one
call never takes longer than its patience and one answer's time, and nothing is sent to a node that
just failed before it had a moment to come back. What is sent twice is stored once: events are known
by their keys.
"""

import importlib.resources
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from indexes.errors import Failure
from reranker.errors import HistoryFailure

FIELD: Final = "history.url"
_SCHEMES: Final = ("redis", "rediss")
_PAUSE: Final = 0.05
_WAIT_SHARE: Final = 0.8  # of the longest wait for an answer, for replicas
_PORT: Final = 6379
# Answers of a node that will do again in a moment, or of one that no longer has these keys.
_PASSING: Final = (
    *("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY"),
    *("BUSY", "NOREPLICAS", "UNBLOCKED"),
)
_NO_FUNCTION: Final = "Function not found"
_WORDS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")

Address = tuple[str, int]
T = TypeVar("T")


class Command(NamedTuple):
    """A command on keys of one slot. key: one of them."""

    key: str
    words: tuple[Any, ...]


class StoreUrl(NamedTuple):
    """`redis://[user:password@]host[:port][,host[:port]...][/database][?prefix=name]`, read."""

    addresses: tuple[Address, ...]
    user: str | None
    password: str | None
    database: int
    prefix: str
    tls: bool

    @property
    def shown(self) -> str:
        """The address without what is secret."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.addresses)
        return f"{'rediss' if self.tls else 'redis'}://{hosts}/{self.database}"


def read_url(url: str) -> StoreUrl:
    """What history.url says; Failure names what is wrong with it, and never the password."""
    try:
        parts = urlsplit(url)
        login, _, hosts = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        addresses = tuple(_address(host) for host in hosts.split(","))
        database = int(parts.path.strip("/") or 0)
        prefix = parse_qs(parts.query, strict_parsing=bool(parts.query)).get("prefix", ["reranker"])
    except ValueError as error:
        raise _bad_url(f"it cannot be read: {error}") from None
    if parts.scheme not in _SCHEMES:
        raise _bad_url(f"its scheme is {parts.scheme!r}")
    if not prefix[-1] or set(prefix[-1]) - _WORDS:
        raise _bad_url(f"its prefix is {prefix[-1]!r}; letters, digits, _ and - are allowed")
    return StoreUrl(
        addresses,
        unquote(user) or None,
        unquote(password) or None,
        database,
        prefix[-1],
        parts.scheme == "rediss",
    )


def _address(host: str) -> Address:
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = host, str(_PORT)
    if not name:
        raise ValueError("a host is missing")
    return name.strip("[]"), int(port)


def _bad_url(problem: str) -> Failure:
    return Failure(
        f"{FIELD} is no address of a store: {problem}.",
        field=FIELD,
        hint='Write "redis://host:6379/0", "rediss://..." for TLS, several nodes of a cluster as '
        '"redis://host1:7000,host2:7000"; without it histories are kept in the home (SQLite).',
    )


class Nodes:
    """The server or the cluster at an address. Safe between threads, and after a fork.

    seconds: the longest wait for one answer, and for what is away to come back.
    """

    def __init__(self, url: StoreUrl, seconds: float) -> None:
        self.url, self._seconds = url, seconds
        self._clients: dict[Address, Any] = {}
        self._lock = threading.Lock()
        self._slots: tuple[list[int], list[Address]] | None = None
        self._failed_at: float | None = None

    def run(self, commands: Sequence[Command], *, replicas: int = 0) -> list[Any]:
        """The answer to each; HistoryFailure where one is not answered, or not as it should be.

        replicas: how many must have what was written, at least.
        """
        if not commands:
            return []
        answers: list[Any] = [None] * len(commands)
        waiting = list(range(len(commands)))
        deadline = time.monotonic() + self._patience()
        tried = 0
        while True:
            problem = self._round(commands, waiting, answers, replicas)
            if not waiting:
                self._failed_at = None
                return answers
            tried += 1
            if time.monotonic() >= deadline and tried > 1:
                self._failed_at = time.monotonic()
                raise self.failure(problem)
            self._slots = None
            if tried > 1:
                time.sleep(_PAUSE)

    def one(self, key: str, *words: Any) -> Any:
        """The answer to one command."""
        return self.run([Command(key, words)])[0]

    def _patience(self) -> float:
        """None for a while after it was in vain: who asks next must not wait as long again."""
        failed = self._failed_at
        recently = failed is not None and time.monotonic() - failed < self._seconds
        return 0.0 if recently else self._seconds

    def _round(
        self, commands: Sequence[Command], waiting: list[int], answers: list[Any], replicas: int
    ) -> str:
        """Ask once for what is not answered yet, and take out of waiting what is; what went wrong.

        waiting: places in commands.
        """
        redis = redis_package()
        problem = "no node answers"
        try:
            places = self._by_node(commands, waiting)
        except redis.RedisError as error:
            return str(error)
        for address, own in places.items():
            try:
                told = self._ask(address, [commands[place].words for place in own], replicas)
            except redis.exceptions.AuthenticationError as error:
                raise self.failure(str(error)) from error
            except redis.RedisError as error:
                problem = f"{address[0]}:{address[1]}: {error}"
                continue
            for place, answer in zip(own, told, strict=True):
                if type(answer) is redis.exceptions.AskError:  # MovedError is one, too
                    answer = self._asking(answer, commands[place].words, replicas)
                if isinstance(answer, Exception):
                    problem = f"{address[0]}:{address[1]}: {answer}"
                    self._mend(address, answer)
                else:
                    answers[place] = answer
                    waiting.remove(place)
        return problem

    def _asking(self, moving: Any, words: tuple[Any, ...], replicas: int) -> Any:
        """The answer of the node to which a slot is just moving; the error where there is none."""
        try:
            return self._ask((moving.host, int(moving.port)), [("ASKING",), words], replicas)[1]
        except redis_package().RedisError as error:
            return error

    def _mend(self, address: Address, answer: Exception) -> None:
        """See to it that it is answered the next time; HistoryFailure where it never will be."""
        if _NO_FUNCTION in str(answer):
            self.load_functions(address)
        elif _code(answer) not in _PASSING:
            raise self.failure(f"{address[0]}:{address[1]}: {answer}")

    def load_functions(self, address: Address) -> None:
        """Make a node know redis_functions.lua."""
        redis = redis_package()
        code = importlib.resources.files(__package__).joinpath("redis_functions.lua").read_bytes()
        try:
            self.client(address).execute_command("FUNCTION", "LOAD", "REPLACE", code)
        except redis.ResponseError as error:
            if _code(error) in _PASSING:
                return
            raise self.failure(f"{error} (Redis 7 or Valkey is needed)") from error
        except redis.RedisError:  # away: the next round says so
            return

    def _by_node(
        self, commands: Sequence[Command], places: Iterable[int]
    ) -> dict[Address, list[int]]:
        from redis.crc import key_slot

        starts, owners = self._slots or self._look()
        by_node: defaultdict[Address, list[int]] = defaultdict(list)
        for place in places:
            at = 0
            if len(starts) > 1:
                at = max(0, bisect_right(starts, key_slot(commands[place].key.encode())) - 1)
            by_node[owners[at]].append(place)
        return dict(by_node)

    def _ask(
        self, address: Address, commands: Sequence[tuple[Any, ...]], replicas: int
    ) -> list[Any]:
        """Answers, errors among them, over one connection."""
        client = self.client(address)
        if len(commands) == 1 and not replicas:
            try:
                return [client.execute_command(*commands[0])]
            except redis_package().ResponseError as error:
                return [error]
        pipeline = client.pipeline(transaction=False)
        for words in commands:
            pipeline.execute_command(*words)
        if replicas:
            pipeline.execute_command("WAIT", replicas, int(self._seconds * _WAIT_SHARE * 1000))
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        if replicas:
            self._check_replicas(address, answers, replicas)
        return answers

    def _check_replicas(self, address: Address, answers: list[Any], replicas: int) -> None:
        """Take WAIT's answer off the end; HistoryFailure where too few replicas have the rest."""
        told = answers.pop()
        if isinstance(told, int) and told >= replicas:
            return
        problem = f"{told} of {replicas} replicas have it (history.wait_replicas)"
        if not any(isinstance(answer, Exception) for answer in answers):
            raise self.failure(f"{address[0]}:{address[1]}: {problem}")
        again = redis_package().exceptions.TryAgainError(problem)
        answers[:] = [answer if isinstance(answer, Exception) else again for answer in answers]

    def _look(self) -> tuple[list[int], list[Address]]:
        """Which node has which slots: where each of their ranges begins, and whose it is."""
        redis = redis_package()
        problem: Exception | None = None
        for address in dict.fromkeys((*self.url.addresses, *tuple(self._clients))):
            try:
                ranges = self.client(address).execute_command("CLUSTER", "SLOTS")
            except redis.ResponseError as error:
                if "cluster support disabled" not in str(error):
                    problem = error
                    continue
                self._slots = [0], [address]
                return self._slots
            except redis.RedisError as error:
                problem = error
                continue
            known = sorted((int(start), _node(node, address)) for start, _, node, *_ in ranges)
            if known:
                self._slots = [start for start, _ in known], [node for _, node in known]
                return self._slots
        raise problem or redis.RedisError("no node of the cluster has a slot")

    def primaries(self) -> list[Address]:
        """Every node that is written to; HistoryFailure where none is known."""
        return self._careful(lambda: list(dict.fromkeys((self._slots or self._look())[1])))

    def ask_node(self, address: Address, *words: Any) -> Any:
        """The answer of one node; HistoryFailure where there is none."""
        return self._careful(lambda: self.client(address).execute_command(*words))

    def _careful(self, work: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                return work()
            except redis_package().RedisError as error:
                passing = not isinstance(error, redis_package().ResponseError)
                passing = passing or _code(error) in _PASSING
                if not passing or time.monotonic() >= deadline:
                    raise self.failure(str(error)) from error
                self._slots = None
                time.sleep(_PAUSE)

    def client(self, address: Address) -> Any:
        """The client of one node, with its own connections."""
        client = self._clients.get(address)
        if client is None:
            with self._lock:
                client = self._clients.setdefault(address, self._made(address))
        return client

    def _made(self, address: Address) -> Any:
        redis = redis_package()
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return redis.Redis(
            host=address[0],
            port=address[1],
            db=self.url.database,
            username=self.url.user,
            password=self.url.password,
            ssl=self.url.tls,
            socket_timeout=self._seconds,
            socket_connect_timeout=min(1.0, self._seconds),
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    def failure(self, problem: str) -> HistoryFailure:
        """What a person can do about it."""
        return HistoryFailure(
            f"The histories in {self.url.shown} cannot be used: {problem}.",
            hint=f"Look at the server and at {FIELD}; `reranker doctor` says more.",
        )

    def close(self) -> None:
        """Let go of all connections."""
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()


def _code(error: Exception) -> str:
    """The first word of what a node says; redis-py takes it away and makes a class of it."""
    name = type(error).__name__.removesuffix("Error").upper()
    codes = {"BUSYLOADING": "LOADING", "CLUSTERDOWN": "CLUSTERDOWN", "MASTERDOWN": "MASTERDOWN"}
    first = str(error).partition(" ")[0]
    return codes.get(name, name if name in _PASSING else first)


def _node(node: Sequence[Any], asked: Address) -> Address:
    """Where a node is; one that does not know its own name is where it was asked."""
    host = node[0].decode() if node[0] else ""
    return host if host and host != "?" else asked[0], int(node[1])


def redis_package() -> Any:
    """The package redis; HistoryFailure where it is not installed."""
    try:
        import redis
    except ImportError:
        raise HistoryFailure(
            f"{FIELD} names a Redis, and the package redis is not installed.",
            hint="pip install 'shop-reranker[redis]'",
        ) from None
    return redis
