"""A small shop with a real index, made once: MiniLM reads its 60 items, FAISS holds them."""

import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import msgspec
import promise_results
import pytest
from flask import Flask
from flask.testing import FlaskClient

from indexes.build.rebuild import rebuild
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.ranking.settings import RankingSettings
from service.app import create_app

THINGS = {
    "running shoes": "Sport > Shoes",
    "rain jacket": "Sport > Jackets",
    "espresso machine": "Kitchen > Coffee",
    "tea kettle": "Kitchen > Tea",
    "office chair": "Furniture > Chairs",
    "desk lamp": "Furniture > Lamps",
    "wireless headphones": "Audio > Headphones",
    "guitar strings": "Music > Guitars",
    "dog leash": "Pets > Dogs",
    "garden hose": "Garden > Watering",
    "watercolour set": "Art > Paint",
    "board game": "Toys > Games",
}
PATIENT = RankingSettings(budget_ms=60_000)  # on a busy machine 100 ms may not be enough
KINDS = (
    ("Red", "Arvo"),
    ("Blue", "Fell"),
    ("Light", "Nimbus"),
    ("Classic", "Orm"),
    ("Mini", "Pico"),
)


def small_shop() -> list[dict[str, Any]]:
    """60 invented items; every fifth cannot be bought, every seventh has no description."""
    return [
        {
            "id": f"{number}",
            "title": f"{adjective} {thing}",
            "brand": brand,
            "category": category,
            "description": ""
            if number % 7 == 0
            else f"{adjective} {thing} by {brand} for daily use.",
            "price": 10.0 + number,
            "updated": f"2026-{1 + number % 11:02}-15T00:00:00Z",
            "available": number % 5 != 0,
        }
        for number, (adjective, brand, thing, category) in enumerate(
            (adjective, brand, thing, category)
            for thing, category in THINGS.items()
            for adjective, brand in KINDS
        )
    ]


def write_items(path: Path, items: list[dict[str, Any]]) -> Path:
    """A catalogue file of these items."""
    path.write_bytes(b"".join(msgspec.json.encode(item) + b"\n" for item in items))
    return path


@pytest.fixture(scope="session")
def shop_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the small shop's index. Shared: tests that publish take `own_home`."""
    return build_shop(tmp_path_factory.mktemp("shop"))


def build_shop(folder: Path) -> Path:
    """A home in this folder with the small shop's index."""
    home = folder / "home"
    rebuild(Workspace(home), write_items(folder / "items.jsonl", small_shop()), progress=silent)
    return home


TRAINED_AT = 20_000 * 86_400.0


@pytest.fixture(scope="session")
def trained_home(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty shoppers who go from running shoes (0-4) to rain jackets (5-9), and a trained model."""
    return train_shop(shop_home, tmp_path_factory.mktemp("trained"))


def train_shop(shop_home: Path, folder: Path) -> Path:
    """A home in this folder, of the same shop, with their events and a model of them."""
    from reranker.commands.train import train  # torch, which few files need
    from reranker.model.settings import TrainSettings

    workspace = Workspace(copy_home(shop_home, folder / "home"))
    histories = open_histories(workspace)
    for shopper in range(40):
        base = TRAINED_AT - 20 * 86_400 + shopper
        items = [shopper % 5, 5 + shopper % 5, 10 + shopper % 50]
        histories.append(
            [
                HistoryEvent(
                    type="view" if step % 2 else "purchase",
                    item=str(item),
                    time=base + step * 60,
                    user=f"u{shopper}",
                )
                for step, item in enumerate(items)
            ]
        )
    histories.close()
    settings = TrainSettings(epochs=2, minutes=0, width=16, min_validation_shoppers=5)
    train(workspace, settings, on_line=lambda _line: None)
    return workspace.home


@pytest.fixture
def own_home(shop_home: Path, tmp_path: Path) -> Path:
    """A copy of the home that a test may change; big read-only files are linked."""
    return copy_home(shop_home, tmp_path / "home")


def copy_home(home: Path, target: Path) -> Path:
    """Versions linked (their files never change), the rest copied, but no log of rankings."""

    def copy(source: str, to: str) -> None:
        if "/versions/" in source:
            os.link(source, to)
        else:
            shutil.copy2(source, to)

    logs = shutil.ignore_patterns("rankings")
    shutil.copytree(home, target, symlinks=True, copy_function=copy, ignore=logs)
    return target


@pytest.fixture(scope="session")
def app(shop_home: Path) -> Flask:
    """The real application on the small shop."""
    return create_app(Workspace(shop_home, {RankingSettings: PATIENT}))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Requests to the real application."""
    return app.test_client()


Rerank = Callable[..., dict[str, Any]]


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
    """`--promises=FILE`: what shows which promise (docs/promises.md)."""
    pluginmanager.register(promise_results, "promises")


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
