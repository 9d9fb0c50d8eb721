"""screenshots.py: the small demo shop, served -> docs/search.png and docs/compare.png.

`make screenshots`: chromium has to be installed. A minute of training gives the shop a model.
"""

import io
import sys
import threading
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from support.paths import ROOT
from werkzeug.serving import make_server

from indexes.workspace import Workspace
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
    server = make_server("127.0.0.1", 0, create_app(Workspace(shop)), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        address = f"http://127.0.0.1:{server.server_port}"
        search(page, address)
        compare(page, address)
        chromium.close()
    server.shutdown()


def search(page: Page, address: str) -> None:
    """A search of a shopper with a history, one item chosen."""
    page.goto(f"{address}/?set=data/requests.jsonl.gz&req=r003&user=as+in+the+request")
    page.wait_for_selector("#blend-list .ag-row .item-title")
    page.wait_for_timeout(1500)
    page.locator('#blend-list .ag-row[row-index="3"] .item-title').click()
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


def save(page: Page, name: str) -> None:
    """The picture with as few colours as it takes to be small."""
    from PIL import Image

    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(160, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)
    assert (DOCS / name).stat().st_size < MOST, name


if __name__ == "__main__":
    main(Path(sys.argv[1]))
