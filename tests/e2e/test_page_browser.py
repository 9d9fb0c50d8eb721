"""The page as a person uses it, in chromium; its arithmetic against what POST /rerank answers."""

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Page, sync_playwright
from support.shop import copy_home, patient, small_shop, write_items
from werkzeug.serving import make_server

from indexes.build.rebuild import rebuild
from indexes.progress import silent
from indexes.storage.durable import write_lines
from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT, SignalWeight
from reranker.blends.store import BlendStore
from service.access.keys import KeyFile
from service.app import create_app

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
HOSTILE = "lamp <img src=x onerror=window.broken=1 //"  # what ends like a tag is taken off before

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small shop with a hostile title, an engine, judged requests and a second blend."""
    folder = tmp_path_factory.mktemp("page") / "home"
    items = [*small_shop(), {"id": "evil", "title": HOSTILE, "brand": "<b>Bad</b>", "price": 3}]
    rebuild(Workspace(folder), write_items(folder.parent / "items.jsonl", items), progress=silent)
    write_lines(folder / "data" / "items.jsonl.gz", items)
    requests = folder / "requests" / "judged.jsonl"
    requests.parent.mkdir()
    requests.write_text("".join(json.dumps(judged(number)) + "\n" for number in range(12)))
    taste = DEFAULT.signals | {"taste": SignalWeight(2.0), "fresh": SignalWeight(0.5, "none")}
    blend = DEFAULT.__class__(name="shopper", signals=taste)
    BlendStore(folder / "blends").published_or_default()
    BlendStore(folder / "blends").save(blend)
    return folder


def judged(number: int) -> dict[str, Any]:
    items = [str((number * 5 + step * 7) % 60) for step in range(20)]
    return {
        "id": f"q{number}",
        "query": "lamp" if number % 2 else "running shoes",
        "user": f"u{number}",
        "time": "2026-11-01T12:00:00Z",
        "history": [{"type": "view", "item": "3", "time": "2026-10-30T12:00:00Z"}],
        "candidates": [{"id": item, "score": 20.0 - place} for place, item in enumerate(items)],
        "ratings": {items[number % 20]: 3, items[(number + 5) % 20]: 1},
    }


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """The real application, listening."""
    server = make_server("127.0.0.1", 0, create_app(patient(home)), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class Tab:
    """A page in the browser, with what it asked the network for and what it complained of."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda asked: self._note(f"{asked.method} {asked.url}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type == "error" else None,
        )

    def _note(self, asked: str) -> None:
        if not asked.endswith("/assets/icon.svg"):  # the browser's own, at every change of address
            self.asked.append(asked)

    def open(self, rest: str, rows: bool = True) -> "Tab":
        self.page.goto(f"{self.address}/{rest}")
        self.page.wait_for_selector("#query", state="attached", timeout=180_000)
        if rows:
            self.page.wait_for_selector("#blend-list .ag-row .item-title", timeout=180_000)
        self.settle()
        return self

    def settle(self) -> None:
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(250)

    def order(self, grid: str = "blend-list") -> list[str]:
        found: list[str] = self.page.evaluate(
            "grid => { const ids = []; dash_ag_grid.getApi(grid)"
            ".forEachNodeAfterFilterAndSort(node => ids.push(node.data.id)); return ids; }",
            grid,
        )
        return found

    def slide(self, signal: str, key: str, times: int) -> None:
        thumb = self.page.locator(f'[data-signal="{signal}"] [role="slider"]')
        thumb.focus()
        for _ in range(times):
            self.page.keyboard.press(key)
        self.page.wait_for_timeout(250)

    def matrix(self) -> dict[str, Any]:
        return self.page.evaluate("window.reranker.last")

    def rerank(self, **changes: Any) -> dict[str, Any]:
        """What POST /rerank answers to the very request that the page ranked, with changes."""
        body = json.dumps(self.matrix()["request"] | {"explain": True} | changes).encode()
        with urlopen(Request(f"{self.address}/rerank", body, method="POST")) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Tab]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    opened = Tab(page, address)
    yield opened
    page.close()
    foreign = [one for one in opened.asked if address not in one and "data:" not in one]
    assert not foreign, foreign
    assert not opened.complaints, opened.complaints


def test_a_typed_query_shows_the_engines_order_and_the_blends(tab: Tab) -> None:
    tab.open("", rows=False)
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("lamp")
    tab.page.wait_for_selector("#blend-list .ag-row .item-title")
    tab.settle()
    answer = tab.rerank()
    assert tab.order() == [result["id"] for result in answer["results"]]
    by_place = sorted(answer["results"], key=lambda result: result["index"])
    assert tab.order("engine-list") == [result["id"] for result in by_place]
    assert "q=lamp" in tab.page.url


def test_a_slider_changes_the_order_without_the_server_as_the_service_would(tab: Tab) -> None:
    tab.open("?q=running+shoes+lamp")
    before, asked = tab.order(), len(tab.asked)
    tab.slide("semantic", "Home", 1)
    tab.slide("match", "End", 1)
    after = tab.order()
    assert after != before
    assert len(tab.asked) == asked, tab.asked[asked:]
    answer = tab.rerank(weights={"semantic": 0, "match": 3})
    assert after == [result["id"] for result in answer["results"]]
    assert "w=" in tab.page.url
    tab.page.reload()
    tab.page.wait_for_selector("#blend-list .ag-row .item-title")
    tab.settle()
    assert tab.order() == after  # the address holds the sliders


def test_why_adds_up_to_the_difference_of_the_scores(tab: Tab) -> None:
    tab.open("?q=lamp")
    tab.page.locator("#blend-list .ag-row").nth(2).locator(".item-title").click()
    tab.settle()
    cells = tab.page.evaluate(
        "[...document.querySelectorAll('#why-table tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    number = [[float(cell.replace("−", "-")) for cell in row[4:7]] for row in cells]
    *rows, total = number
    scores = {result["id"]: result["score"] for result in tab.rerank()["results"]}
    order = tab.order()
    ours, theirs = scores[order[2]], scores[order[1]]
    assert total == pytest.approx([ours, theirs, ours - theirs], abs=0.0006)
    for column in range(3):
        assert sum(row[column] for row in rows) == pytest.approx(total[column], abs=0.006)


def test_an_edited_history_ranks_as_the_service_does_with_it(tab: Tab) -> None:
    tab.open("?q=lamp+chair&blend=shopper")
    plain = tab.order()
    tab.page.locator("#blend-list .ag-row").last.locator(".item-title").click()
    tab.settle()
    chosen = tab.page.evaluate("dash_ag_grid.getApi('blend-list').getSelectedRows()[0].id")
    tab.page.click("#add-purchase")
    tab.page.wait_for_selector("#history .ag-row")
    tab.settle()
    assert [event["item"] for event in tab.matrix()["request"]["history"]] == [chosen]
    assert tab.order() == [result["id"] for result in tab.rerank()["results"]]
    assert tab.order() != plain
    tab.page.click("#leave-out")
    tab.page.wait_for_selector("#left-out tbody tr")
    with_it = {one["id"]: one["score"] for one in tab.rerank()["results"]}
    without = {one["id"]: one["score"] for one in tab.rerank(history=[])["results"]}
    shown = float(tab.page.locator("#left-out tbody td.num").first.inner_text())
    assert shown == pytest.approx(with_it[chosen] - without[chosen], abs=0.0006)
    tab.page.click('[aria-label="remove"]')
    tab.settle()
    assert tab.order() == plain


def test_hostile_titles_are_text(tab: Tab) -> None:
    tab.open("?q=img+lamp")
    assert HOSTILE in tab.page.locator("#blend-list .item-title").all_inner_texts()
    assert tab.page.evaluate("window.broken") is None
    assert tab.page.locator("#blend-list img, #why img").count() == 0


def test_keys_reach_the_lists(tab: Tab) -> None:
    tab.open("?q=lamp")
    tab.page.focus("#query")
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("ArrowDown")
    tab.settle()
    selected = tab.page.evaluate("dash_ag_grid.getApi('blend-list').getSelectedRows()[0].id")
    assert selected == tab.order()[1]
    assert tab.page.locator("#why-a").inner_text().startswith("#2 ")


def test_two_blends_are_compared_in_a_job_whose_queries_open_in_search(tab: Tab) -> None:
    tab.open("?tab=compare", rows=False)
    tab.page.click("#compare-run")
    tab.page.wait_for_selector("#metrics-table", timeout=300_000)
    tab.settle()
    wins = [int(text) for text in tab.page.locator("#wins b").all_inner_texts()]
    assert sum(wins) == 12
    tab.page.locator("#per-query .ag-row").first.locator(".ag-cell").first.click()
    tab.page.wait_for_selector("#blend-list .ag-row .item-title")
    tab.settle()
    assert "set=judged.jsonl" in tab.page.url and "req=q" in tab.page.url
    assert tab.order() == [result["id"] for result in tab.rerank()["results"]]


def test_blends_are_shown_and_published(tab: Tab, home: Path) -> None:
    tab.open("?tab=blends", rows=False)
    tab.page.wait_for_selector("#blend-rows .ag-row")
    tab.page.get_by_text("shopper@1").first.click()
    tab.page.get_by_text("signals.taste").first.wait_for()
    tab.page.click("#publish")
    tab.page.get_by_text("is published").first.wait_for()
    assert BlendStore(home / "blends").published_or_default()[0].name == "shopper"


def test_the_system_tab_says_what_is_served(tab: Tab, home: Path) -> None:
    tab.open("?tab=system", rows=False)
    tab.page.wait_for_selector("#system-versions td")
    assert "61" in tab.page.locator("#system-versions").inner_text()


@pytest.mark.promise(25)
def test_signing_in_and_out_in_the_browser(
    browser: Any, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With the hostile titles of this shop; no foreign request, and no script runs before a key."""
    own = copy_home(home, tmp_path_factory.mktemp("keyed") / "home")
    key, _ = KeyFile(own).create("ann", ("tune",))
    server = make_server("127.0.0.1", 0, create_app(patient(own)), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = Tab(context.new_page(), f"http://127.0.0.1:{server.server_port}")
    page = opened.page
    try:
        page.goto(f"{opened.address}/?q=img+lamp")
        assert page.locator("script").count() == 0
        page.fill("#key", "wrong")
        page.click("button")
        page.get_by_role("alert").wait_for()
        page.fill("#key", key)
        page.keyboard.press("Enter")
        page.wait_for_selector("#blend-list .ag-row .item-title", timeout=180_000)
        assert page.url.startswith(f"{opened.address}/?") and "q=img" in page.url
        assert HOSTILE in page.locator("#blend-list .item-title").all_inner_texts()
        assert page.evaluate("window.broken") is None
        assert key not in page.content() and page.evaluate("document.cookie") == ""
        cookie = context.cookies()[0]
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_selector("#key")
        assert context.cookies() == []
        own_errors = [one for one in opened.complaints if "401" not in one]
        assert not own_errors, own_errors
        assert not [one for one in opened.asked if opened.address not in one and "data:" not in one]
    finally:
        context.close()
        server.shutdown()


def test_two_hundred_candidates_are_ranked_in_the_browser(tab: Tab) -> None:
    """Nothing timed is asserted; docs/page.md has the figure that this prints."""
    tab.open("?q=lamp")
    took = tab.page.evaluate(
        """() => {
            const one = window.reranker.last;
            const item = (i) => ({...one.items[i % one.items.length], id: `${i}`});
            const items = Array.from({length: 200}, (_, i) => item(i));
            const matrix = {...one, items};
            const began = performance.now();
            let order = [];
            for (let turn = 0; turn < 100; turn++)
                order = window.reranker.reranked(matrix, {semantic: turn / 50}).order;
            return [order.length, (performance.now() - began) / 100];
        }"""
    )
    sys.stderr.write(f"200 candidates re-ranked in {took[1]:.2f} ms\n")
    assert took[0] == 200
