"""A small shop with a real index, made once: MiniLM reads its 60 items, FAISS holds them."""

import os
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support import promise_results, suite
from support.buyers import buyers_shop
from support.shop import Rerank, build_shop, built_once, copy_home, patient, train_shop

from service.app import create_app


@pytest.fixture(scope="session")
def shop_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the small shop's index. Shared: tests that publish take `own_home`."""
    return built_once(tmp_path_factory, "shop", build_shop)


@pytest.fixture(scope="session")
def trained_home(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty shoppers who go from running shoes (0-4) to rain jackets (5-9), and a trained model."""
    return built_once(tmp_path_factory, "trained", partial(train_shop, shop_home))


@pytest.fixture(scope="session")
def buyers_home(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four hundred customers who buy at their own rate, and what foresees who leaves."""
    return built_once(tmp_path_factory, "buyers", partial(buyers_shop, shop_home))


@pytest.fixture(scope="session")
def pictured_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten items that only their pictures tell apart, and a CLIP."""
    from support.picture_shop import build_pictured  # and torch with it

    return built_once(tmp_path_factory, "pictured", build_pictured)


@pytest.fixture
def own_home(shop_home: Path, tmp_path: Path) -> Path:
    """A copy of the home that a test may change; big read-only files are linked."""
    return copy_home(shop_home, tmp_path / "home")


@pytest.fixture(scope="session")
def app(shop_home: Path) -> Flask:
    """The real application on the small shop."""
    return create_app(patient(shop_home))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Requests to the real application."""
    return app.test_client()


@pytest.fixture
def rerank(client: FlaskClient) -> Rerank:
    """POST /rerank of a JSON body; the answer, which has to be 200."""

    def post(body: dict[str, Any]) -> dict[str, Any]:
        answer = client.post("/rerank", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    return post


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """`--promises=FILE`: what shows which promise (docs/promises.md). And how the suite runs."""
    pluginmanager.register(promise_results, "promises")
    pluginmanager.register(suite, "suite")
    pluginmanager.register(suite.LeftOut(), "left out")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With RERANKER_TEST_NO_SKIPS a skip is a failure: there, what tests need is installed.

    But for what a machine has or allows, and nobody can install.
    """
    report = yield
    forbidden = any(reason in str(report.longrepr) for reason in ("not permitted", "no systemd"))
    if report.skipped and os.environ.get("RERANKER_TEST_NO_SKIPS") and not forbidden:
        report.outcome = "failed"
        report.longrepr = f"skipped, and RERANKER_TEST_NO_SKIPS is set: {report.longrepr}"
    return report
