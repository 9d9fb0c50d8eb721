"""conftest.py: an engine, a service that re-ranks, and what stands between."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from support.engine import Engine, running_engine
from support.shop import copy_home, patient, small_shop
from werkzeug.serving import make_server

from service.app import create_app, served


@pytest.fixture(scope="session")
def ranking_app(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The real application."""
    home = copy_home(shop_home, tmp_path_factory.mktemp("proxied") / "home")
    app = create_app(patient(home))
    yield app
    served(app).histories.close()


@pytest.fixture(scope="session")
def service_url(ranking_app: Flask) -> Iterator[str]:
    """Where it answers."""
    server = make_server("127.0.0.1", 0, ranking_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine with 30 items of the shop, as its own search would order them."""
    sources = {item["id"]: {"title": item["title"], "sku": item["id"]} for item in small_shop()}
    with running_engine(Engine(dict(list(sources.items())[:30]))) as running:
        yield running
