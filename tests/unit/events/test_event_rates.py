"""Bot-like shoppers in a stream: any minute, any order of arrival, little memory."""

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reranker.events.bots import EventRates
from reranker.events.events import HistoryEvent
from reranker.events.settings import EventSettings
from reranker.ingestion.spool import EventSpool
from reranker.pseudonyms.pseudonyms import Pseudonyms

FIVE = EventSettings(bot_events_per_minute=5)
DROPPING = EventSettings(bot_events_per_minute=5, drop_bots=True)


def event(at: float, **fields: Any) -> HistoryEvent:
    return HistoryEvent(**{"type": "view", "item": "1", "time": at, "user": "u"} | fields)


def test_the_minute_slides_and_ends() -> None:
    rates = EventRates(FIVE)
    assert not any(rates.too_many(event(57.0 + step)) for step in range(5))
    assert rates.too_many(event(116.9))  # less than 60 s after the first, in another clock minute
    assert not rates.too_many(event(177.0))
    assert not any(rates.too_many(event(58, user=None, session="u")) for _ in range(5))


def test_out_of_order_is_the_same() -> None:
    rates = EventRates(FIVE)
    assert [rates.too_many(event(at)) for at in (50, 10, 40, 20, 30)] == [False] * 5
    assert rates.too_many(event(0))
    assert not rates.too_many(event(-25))  # with it a minute holds five


@pytest.mark.promise(37)
def test_a_far_event_wipes_nothing_out() -> None:
    rates = EventRates(FIVE)
    for step in range(5):
        rates.too_many(event(1000 + step))
        rates.too_many(event(80_000))
    assert rates.too_many(event(1005))


def test_a_basket_and_a_retry_count_once() -> None:
    for wanted in (FIVE, DROPPING):
        rates = EventRates(wanted)
        assert not any(rates.too_many(event(9, type="purchase", item=str(n))) for n in range(50))
        assert not any(rates.too_many(event(9, id=f"e{n % 4}")) for n in range(50))
        assert rates.too_many(event(9, id="e4"))


def test_dropping_lets_pass_again_what_was_let_pass() -> None:
    rates = EventRates(DROPPING)
    for _ in range(2):
        found = [rates.too_many(event(n / 10, id=str(n))) for n in range(20)]
        assert found == [False] * 5 + [True] * 15
    assert rates.held == 5


def test_little_is_remembered() -> None:
    rates = EventRates(FIVE, shoppers=10, actions=35)
    for n in range(1000):
        rates.too_many(event(n / 100, user=f"u{n % 25}"))
        rates.too_many(event(n / 100, user="fast"))
        assert len(rates) <= 10
        assert rates.held <= 35
    assert rates.too_many(event(10.0, user="fast"))  # heard of lately, so not forgotten
    one = EventRates(EventSettings(bot_events_per_minute=10**9), actions=50)
    assert not any(one.too_many(event(n / 100)) for n in range(200))
    assert one.held == 50


def test_threads_lose_no_event() -> None:
    rates = EventRates(EventSettings(bot_events_per_minute=4000))

    def send() -> None:
        for n in range(500):
            rates.too_many(event(n / 100))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rates.held == 4000
    assert rates.too_many(event(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


EVENTS = st.lists(
    st.builds(
        HistoryEvent,
        type=st.sampled_from(["view", "cart", "purchase", "cancel"]),
        item=st.just("1"),
        time=st.integers(600, 659).map(float),  # within one minute of the clock
        user=st.sampled_from(["u", "v", None]),
        session=st.sampled_from(["s", "t"]),
    ),
    min_size=1,
    max_size=60,
)


@settings(deadline=None)
@given(EVENTS)
def test_within_one_clock_minute_it_is_what_an_import_finds(
    folder: Path, events: list[HistoryEvent]
) -> None:
    spool, rates = EventSpool(folder, Pseudonyms(b"k" * 32)), EventRates(FIVE)
    for one in events:
        spool.add(one)
    beyond = {(e.user is not None, e.user or e.session) for e in events if rates.too_many(e)}
    assert beyond == {spool.shoppers[number] for number in spool.bots(5)}
    spool.close()
