"""shop.py: a small shop and its homes, as many tests need them."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient

from indexes.build.rebuild import rebuild
from indexes.progress import silent
from indexes.storage.locks import waiting
from indexes.times import TimeSettings
from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.events.settings import EventSettings
from reranker.histories.histories import Histories
from reranker.histories.store import open_histories
from reranker.ranking.settings import RankingSettings
from reranker.ranking.state import ServedState
from service.api.event_routes import LogKeeper, events_routes
from service.api.events import EventKeeper
from service.http.answers import register_errors
from service.http.settings import LimitSettings
from service.observability.prometheus import Metrics

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
TRAINED_AT = 20_000 * 86_400.0
Rerank = Callable[..., dict[str, Any]]


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


def build_shop(folder: Path) -> Path:
    """A home in this folder with the small shop's index."""
    home = folder / "home"
    rebuild(Workspace(home), write_items(folder / "items.jsonl", small_shop()), progress=silent)
    return home


def train_shop(shop_home: Path, folder: Path) -> Path:
    """A home in this folder, of the same shop, with their events and a model of them."""
    from reranker.applications.applications import BESIDE
    from reranker.model.settings import TrainSettings
    from reranker.model_selection.train import train  # torch, which few files need

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
    settings = TrainSettings(
        epochs=12,
        learning_rate=0.01,
        minutes=0,
        width=16,
        min_validation_shoppers=5,
        encoder_proof=False,
        precision="float32",  # not the faster one on this machine: the same everywhere
    )
    train(workspace, settings, on_line=lambda _line: None, beside=BESIDE)
    return workspace.home


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], Path]) -> Path:
    """What takes seconds to build, once for all of xdist's workers: each gets its own copy.

    build: an empty folder -> the home in it.
    """
    own = factory.mktemp(name) / "home"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return copy_home(build(factory.mktemp(f"{name}-original")), own)
    original = factory.getbasetemp().parent / name
    with waiting(original.with_suffix(".lock")):
        if not original.is_dir():
            half = original.with_suffix(".half")
            half.mkdir()
            build(half)
            half.rename(original)
    return copy_home(original / "home", own)


def patient(home: Path) -> Workspace:
    """Its rankings may take as long as a busy machine needs: none is cut off at a deadline."""
    return Workspace(home, {RankingSettings: PATIENT})


def copy_home(home: Path, target: Path) -> Path:
    """Versions linked (their files never change), the rest copied, but no log of rankings.

    Nor when something was last deleted by age: in the copy it is due.
    """

    def copy(source: str, to: str) -> None:
        if "/versions/" in source:
            os.link(source, to)
        else:
            shutil.copy2(source, to)

    logs = shutil.ignore_patterns("rankings", "expiry.lock")
    shutil.copytree(home, target, symlinks=True, copy_function=copy, ignore=logs)
    return target


def broken_index(state: ServedState) -> ServedState:
    """The same state on a disk that fails: whatever is asked of the index raises."""

    class Broken:
        version = state.index.version
        modalities = state.index.modalities  # which there are is known since it was opened

        def __getattr__(self, name: str) -> Any:
            raise OSError(f"the disk is gone ({name})")

    return replace(state, index=Broken())  # type: ignore[arg-type]


def small_app(
    histories: Histories,
    limits: LimitSettings | None = None,
    settings: EventSettings | None = None,
    metrics: Metrics | None = None,
) -> FlaskClient:
    """The route by itself, on real histories."""
    limits = limits or LimitSettings()
    app = Flask("events", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = limits.body_bytes + 1
    register_errors(app)
    keeper = EventKeeper(
        histories, limits, settings or EventSettings(), TimeSettings(), metrics or Metrics()
    )
    nowhere = Workspace(Path(os.devnull))  # for rankings of foreign logs
    app.register_blueprint(events_routes(keeper, LogKeeper(keeper, nowhere)))
    return app.test_client()
