"""screenshots.py: the small demo shop, served -> search, compare, shoppers and base.png in docs.

`make screenshots`: chromium has to be installed. A minute of training gives the shop a model; a
second home has customers of more than a year beside the season's shoppers, and is trained as long.
"""

import gzip
import io
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from playwright.sync_api import Page, sync_playwright
from support.buyers import buyers
from support.paths import ROOT
from support.shop import copy_home
from werkzeug.serving import make_server

from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from service.app import create_app
from service.commands.cli import run

DOCS = ROOT / "docs"
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run".split()
MOST = 300_000  # bytes of a picture


def main(home: Path) -> None:
    """Make the shop where there is none, then look at it."""
    shop = home / "demo-small"
    if not (shop / "model" / "current").is_symlink():
        run(["--home", str(home), "demo", "--small", "--no-serve"])
        run(["--home", str(shop), "train", "--minutes", "1"])
    bought = home / "demo-bought"
    if not (bought / "customers").is_dir():  # what is made last
        shutil.rmtree(bought, ignore_errors=True)
        with_buyers(copy_home(shop, bought))
        run(["--home", str(bought), "train", "--minutes", "1"])
        run(["--home", str(bought), "customers"])
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        with served(shop) as address:
            search(page, address)
            compare(page, address)
        with served(bought) as address:
            shoppers(page, address)
            base(page, address)
        chromium.close()


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The address at which a home answers."""
    server = make_server("127.0.0.1", 0, create_app(Workspace(home)), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def with_buyers(home: Path) -> None:
    """Customers who buy what the shop sells, each from a category or two, until its newest day."""
    items = [msgspec.json.decode(line) for line in gzip.open(home / "data" / "items.jsonl.gz")]
    shelves: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        shelves.setdefault(item["category"], []).append(item)
    likely = sorted(shelves.values(), key=len)[-60:]
    events = buyers(900, days=400.0)
    with closing(open_histories(Workspace(home))) as histories:
        later = (histories.newest_time() or 0.0) - events[-1].time
        for begin in range(0, len(events), 2_000):
            batch = [_of_the_shop(event, likely, later) for event in events[begin : begin + 2_000]]
            histories.append(batch)


def _of_the_shop(
    event: HistoryEvent, shelves: list[list[dict[str, Any]]], later: float
) -> HistoryEvent:
    who, what = int((event.user or "b0")[1:]), int(event.item or 0)
    shelf = shelves[(who * 7 + what % 2) % len(shelves)]
    item = shelf[what % len(shelf)]
    price = item["price"] if event.type == "purchase" else None
    changed = {"item": item["id"], "price": price, "time": event.time + later}
    return msgspec.structs.replace(event, **changed)


def search(page: Page, address: str) -> None:
    """A search of a shopper with a history, one item chosen."""
    page.goto(f"{address}/?set=data/requests.jsonl.gz&req=r003&user=as+in+the+request")
    page.wait_for_selector("#blend-list .ag-row .item-title")
    page.wait_for_timeout(1500)
    page.locator('#blend-list .ag-row[row-index="1"] .item-title').click()
    page.wait_for_timeout(800)
    save(page, "search.png")


def compare(page: Page, address: str) -> None:
    """The published blend against the engine."""
    page.goto(f"{address}/?tab=compare")
    page.wait_for_timeout(1500)
    page.click("#compare-run")
    page.wait_for_selector(".progress-card", timeout=20_000)
    page.wait_for_selector("#metrics-table", timeout=120_000)
    page.mouse.move(640, 60)
    page.wait_for_timeout(1500)
    save(page, "compare.png")


def shoppers(page: Page, address: str) -> None:
    """One of the customers, who puts an item into the cart: what if?"""
    page.set_viewport_size({"width": 1280, "height": 1300})
    page.goto(f"{address}/?tab=shoppers&shopper=b10")
    page.wait_for_selector("#timeline .ag-row")
    page.locator("#shopper-recommendations .tiny").nth(4).click()
    page.locator("#shopper-cart").get_by_text("Completes the cart").wait_for()
    page.wait_for_timeout(1500)
    save(page, "shoppers.png")
    page.set_viewport_size({"width": 1280, "height": 900})


def base(page: Page, address: str) -> None:
    """The customers' figures, as they are kept."""
    page.goto(f"{address}/?tab=base")
    page.wait_for_selector(".segments")
    page.wait_for_timeout(2500)
    save(page, "base.png")


def save(page: Page, name: str) -> None:
    """The picture with as few colours as it takes to be small."""
    from PIL import Image

    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(160, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)
    assert (DOCS / name).stat().st_size < MOST, name


if __name__ == "__main__":
    main(Path(sys.argv[1]))
