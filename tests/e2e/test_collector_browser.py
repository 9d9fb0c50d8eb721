"""collector.js in chromium, on a shop whose backend is the one of docs/clients.md."""

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request
from playwright.sync_api import Page
from support.chromium import CHROMIUM, chromium
from support.keys import bearing
from support.paths import ROOT
from support.shop import copy_home, patient
from support.snippets import snippet
from support.waiting import wait_until
from werkzeug.serving import make_server

from indexes.workspace import Workspace
from service.access.keys import KeyFile
from service.app import create_app
from service.http.settings import ServeSettings

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")

COLLECTOR = (ROOT / "reranker" / "client" / "collector.js").read_text()
PAGE = """<!doctype html><title>A shop</title><script src="/js/collector.js"></script>
<script>const collect = collector({url: "/shop-events"});</script><a href="/next">next</a>"""
WAITING = "Object.keys(localStorage).filter(key => key.startsWith('reranker.e.')).length"


def url_of(server: Any) -> str:
    return f"http://127.0.0.1:{server.server_port}"


class Shop:
    """The service, a shop's backend before it, and what the backend was asked and answered."""

    def __init__(self, home: Path) -> None:
        keys = KeyFile(home)
        self._admin, _ = keys.create("owner", ("admin",))
        key, _ = keys.create("shop-events", ("events",))
        self._app = create_app(patient(home))
        self.key, _ = keys.create("search", ("rerank",))
        self._service = self.listening(self._app)
        self.service_url = url_of(self._service)
        code = snippet("clients.md", "shop events", self.service_url)
        names: dict[str, Any] = {"KEY": key}
        exec(code, names)
        backend: Flask = names["shop"]
        backend.secret_key = "of this test"
        self.client = names["reranker"]
        self.status: int | None = None  # what the backend answers in place of the service
        self.answered: list[int] = []
        backend.before_request(self._before)
        backend.after_request(self._after)
        script = Response(COLLECTOR, mimetype="text/javascript")
        backend.add_url_rule("/js/collector.js", "script", lambda: script)
        backend.add_url_rule("/", "first", lambda: PAGE)
        backend.add_url_rule("/next", "next", lambda: PAGE)
        self._shop = self.listening(backend)
        self.url = url_of(self._shop)

    def listening(self, app: Flask) -> Any:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def _before(self) -> Any:
        return None if self.status is None or request.method != "POST" else ("", self.status)

    def _after(self, answer: Response) -> Response:
        if request.method == "POST":
            self.answered.append(answer.status_code)
        return answer

    def kept(self, session: str) -> list[dict[str, Any]]:
        """What the service keeps of a visit."""
        client = self._app.test_client()
        answer = client.get(f"/users/{session}?session=true", headers=bearing(self._admin))
        events: list[dict[str, Any]] = answer.get_json().get("events", [])
        return events

    def close(self) -> None:
        self._shop.shutdown()
        self._service.shutdown()
        self.client.close()


@pytest.fixture(scope="module")
def shop(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = Shop(copy_home(shop_home, tmp_path_factory.mktemp("collector") / "home"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Any, shop: Shop) -> Iterator[Page]:
    """The shop's first page, as somebody sees it who was never there."""
    shop.status, shop.answered = None, []
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(shop.url)
    yield opened
    context.close()


def session(page: Page) -> str:
    found: str = page.evaluate("localStorage['reranker.s'].split(' ')[0]")
    return found


def acknowledged(page: Page) -> None:
    page.wait_for_function(f"{WAITING} === 0")


def test_before_consent_nothing_is_stored_or_sent(page: Page, shop: Shop) -> None:
    page.evaluate("collect.view('1'); collect.search('lamp'); collect.consent('no')")
    page.goto(f"{shop.url}/next")
    stored = "[localStorage.length, sessionStorage.length, document.cookie]"
    assert page.evaluate(stored) == [0, 0, ""] and shop.answered == []
    page.evaluate("collect.consent(true); collect.view('2')")
    acknowledged(page)
    assert [event["item"] for event in shop.kept(session(page))] == ["2"]


def test_every_kind_of_event_is_kept_as_it_was_told(page: Page, shop: Shop) -> None:
    page.evaluate(
        "collect.consent(true); collect.search('red shoes', {ranking: 'r1'});"
        "collect.click('17', 'r1', 3); collect.view('18'); collect.cart('17', {price: 9.5});"
        "collect.purchase([{item: '17', price: 9.5, quantity: 2}, {item: '3'}])"
    )
    acknowledged(page)
    kept = shop.kept(session(page))
    assert {(event["type"], event.get("item") or event["query"]) for event in kept} == {
        *(("search", "red shoes"), ("view", "17"), ("view", "18"), ("cart", "17")),
        *(("purchase", "17"), ("purchase", "3")),
    }
    [click] = [event for event in kept if event.get("position")]
    assert (click["item"], click["ranking"], click["position"]) == ("17", "r1", 3)
    bought = [event for event in kept if event["type"] == "purchase"]
    assert len({event["time"] for event in bought}) == 1


def test_a_browser_cannot_name_a_user(page: Page, shop: Shop) -> None:
    page.evaluate("collect.consent(true); collect.event('view', {item: '1', user: 'victim'})")
    acknowledged(page)
    [event] = shop.kept(session(page))
    assert not event.get("user")


def test_a_click_that_leaves_the_page_is_kept_and_counts_once(page: Page, shop: Shop) -> None:
    page.evaluate(
        "window.fetch = () => Promise.reject();"
        "collect.consent(true); collect.click('17', 'r1', 1); location = '/next'"
    )
    page.wait_for_url("**/next")
    wait_until(lambda: shop.answered == [204])
    visit = session(page)
    assert len(shop.kept(visit)) == 1
    assert page.evaluate(WAITING) == 1, "a beacon is not acknowledged"
    page.evaluate("collect.consent(true)")
    acknowledged(page)
    assert shop.answered == [204, 204] and len(shop.kept(visit)) == 1


def test_without_beacons_a_request_outlives_the_page(page: Page, shop: Shop) -> None:
    page.evaluate(
        "navigator.sendBeacon = () => false;"
        "collect.consent(true); collect.view('17'); location = '/next'"
    )
    page.wait_for_url("**/next")
    wait_until(lambda: shop.answered == [204])
    assert len(shop.kept(session(page))) == 1


def test_what_the_backend_does_not_take_waits_over_page_loads(page: Page, shop: Shop) -> None:
    shop.status = 503
    page.evaluate("collect.consent(true); collect.view('1'); collect.view('2')")
    wait_until(lambda: len(shop.answered) >= 2)
    page.context.set_offline(True)
    page.evaluate("collect.view('3')")
    page.context.set_offline(False)
    page.goto(f"{shop.url}/next")
    assert page.evaluate(WAITING) == 3
    shop.status = None
    page.evaluate("collect.consent(true)")
    acknowledged(page)
    assert {event["item"] for event in shop.kept(session(page))} == {"1", "2", "3"}
    assert len(shop.kept(session(page))) == 3


def test_what_is_refused_is_counted_and_stops_nothing(page: Page, shop: Shop) -> None:
    shop.status = 400
    page.evaluate("collect.consent(true); collect.view('1')")
    acknowledged(page)
    shop.status = None
    page.evaluate("collect.view('2')")
    acknowledged(page)
    assert page.evaluate("collect.lost") == 1
    assert [event["item"] for event in shop.kept(session(page))] == ["2"]


def test_only_so_many_events_wait(page: Page, shop: Shop) -> None:
    shop.status = 503
    page.evaluate("collect.consent(true); for (let n = 0; n < 230; n++) collect.view('1')")
    assert page.evaluate(WAITING) == 200 and page.evaluate("collect.lost") == 30


def test_withdrawn_consent_deletes_what_was_stored(page: Page, shop: Shop) -> None:
    shop.status = 503
    page.evaluate("localStorage.own = 1; collect.consent(true); collect.view('1')")
    assert page.evaluate("localStorage.length") == 3
    page.evaluate("collect.consent(false); collect.view('2')")
    assert page.evaluate("Object.keys(localStorage)") == ["own"]
    sent = len(shop.answered)
    page.goto(f"{shop.url}/next")
    assert len(shop.answered) == sent


def test_a_visit_ends_after_half_an_hour_of_silence(page: Page, shop: Shop) -> None:
    page.evaluate("collect.consent(true); collect.view('1'); collect.view('2')")
    first = session(page)
    page.evaluate(
        "localStorage['reranker.s'] = localStorage['reranker.s'].split(' ')[0]"
        " + ' ' + (Date.now() - 31 * 60000); collect.view('3')"
    )
    acknowledged(page)
    second = session(page)
    assert first != second
    assert (len(shop.kept(first)), len(shop.kept(second))) == (2, 1)


def test_where_the_browser_stores_nothing_events_are_sent_all_the_same(
    page: Page, shop: Shop
) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('blocked') }})"
    )
    page.goto(f"{shop.url}/next")
    with page.expect_response("**/shop-events") as response:
        page.evaluate("collect.consent(true); collect.view('1')")
    assert response.value.status == 204


def test_another_origin_gets_what_is_fetched_and_no_beacon(
    page: Page, shop: Shop, shop_home: Path, tmp_path: Path
) -> None:
    """What a beacon carried comes with the next page: see docs/clients.md."""
    sections = {ServeSettings: ServeSettings(origins=[shop.url])}
    app = create_app(Workspace(copy_home(shop_home, tmp_path / "home"), sections))
    other = shop.listening(app)
    page.evaluate(f"window.other = collector({{url: '{url_of(other)}/events'}})")
    page.evaluate("other.consent(true); other.view('1')")
    acknowledged(page)
    page.evaluate("window.fetch = () => Promise.reject(); other.view('2'); location = '/next'")
    page.wait_for_url("**/next")
    visit, client = session(page), app.test_client()

    def kept() -> list[str]:
        events = client.get(f"/users/{visit}?session=true").get_json()["events"]
        return [event["item"] for event in events]

    assert kept() == ["1"] and page.evaluate(WAITING) == 1
    page.evaluate(f"collector({{url: '{url_of(other)}/events'}}).consent(true)")
    acknowledged(page)
    assert kept() == ["1", "2"]
    other.shutdown()


def in_the_browser(browser: Any, url: str, script: str) -> Any:
    """In a page of the service's own, as if it had no policy of its own."""
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    page.goto(f"{url}/livez")
    answer = page.evaluate(f"(async () => {{{script}}})()")
    context.close()
    return answer


def in_node(_browser: Any, _url: str, script: str) -> Any:
    whole = f"(async () => {{{script}}})().then((answer) => console.log(JSON.stringify(answer)))"
    done = subprocess.run(["node", "-e", whole], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("run", [in_the_browser, *([in_node] if shutil.which("node") else [])])
def test_the_snippet_for_node_ranks_and_falls_back(
    browser: Any, shop: Shop, run: Callable[..., Any]
) -> None:
    """It uses nothing but what browsers have as well: that is where it is tried everywhere."""
    code = snippet("clients.md", "node", shop.service_url).replace("timeout(500)", "timeout(9e4)")
    ask = "return reranked('shoes for running', ['25', '7', '2'], 'u1')"
    for key, expected in ((shop.key, ["2", "7", "25"]), ("wrong", ["25", "7", "2"])):
        assert run(browser, shop.service_url, f"const KEY = '{key}'; {code} {ask}") == expected


def test_another_site_cannot_make_a_browser_send_events(page: Page, shop: Shop) -> None:
    page.goto(shop.url.replace("127.0.0.1", "localhost"))
    page.evaluate(
        "url => navigator.sendBeacon(url, new Blob(['[]'], {type: 'text/plain'}))",
        f"{shop.url}/shop-events",
    )
    wait_until(lambda: shop.answered == [403])
