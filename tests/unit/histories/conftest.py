"""The stores of histories: what is promised of one is asked of each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from support.history_stores import MakeStore, sqlite_store
from support.redis_servers import Server, needed, server

from reranker.events.settings import HistorySettings
from reranker.histories.histories import Histories
from reranker.histories.redis_nodes import read_url
from reranker.pseudonyms.keys import PseudonymKeys


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An empty Redis. Each home that keeps its histories there has a prefix of its own."""
    needed()
    # hz: how soon it notices that a file is written.
    with server(tmp_path_factory.mktemp("redis"), "--appendonly", "no", "--hz", "500") as started:
        yield started


@pytest.fixture
def redis_store(redis_server: Server) -> Iterator[MakeStore]:
    """Makes histories in it."""
    from reranker.histories.redis_store import RedisHistories

    prefixes: dict[Path, str] = {}
    opened: list[Histories] = []

    def make(
        folder: Path,
        settings: HistorySettings | None = None,
        keys: PseudonymKeys | None = None,
    ) -> Histories:
        prefix = prefixes.setdefault(folder, uuid4().hex)
        url = read_url(f"{redis_server.url}?prefix={prefix}")
        store = RedisHistories(url, settings or HistorySettings(), keys or PseudonymKeys(folder))
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()


@pytest.fixture(params=["sqlite", "redis"])
def make_store(request: pytest.FixtureRequest) -> MakeStore:
    """Each store in its turn."""
    found: Callable[..., Histories] = (
        sqlite_store if request.param == "sqlite" else request.getfixturevalue("redis_store")
    )
    return found


@pytest.fixture
def each_store(make_store: MakeStore, tmp_path: Path) -> Iterator[Histories]:
    """Empty histories in each store in its turn."""
    store = make_store(tmp_path / "events")
    yield store
    store.close()
