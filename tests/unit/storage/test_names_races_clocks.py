"""Names that lead nowhere, blends published by two at once, clocks that jump."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.versions import assert_whole, publish, text_of

from indexes.errors import Failure
from indexes.storage.locks import LockHeld
from indexes.storage.versions import VersionStore
from reranker.blends.blend import Blend, SignalWeight
from reranker.blends.store import BlendStore
from reranker.errors import Conflict
from reranker.events.events import HistoryEvent
from reranker.events.settings import HistorySettings
from reranker.histories.store import SqliteHistories

HEAVY = pytest.mark.heavy
Said = Callable[[str, object], None]
FEW = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
nasty = st.one_of(
    st.text(st.sampled_from("./\\\0ab-_~%\n\u2024\uff0f"), max_size=12),
    st.text(max_size=8),
    st.sampled_from(["../x", "/etc/passwd", "..", ".", "a/../../x", "x\n", "CON", "a" * 300]),
)


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """The folder that a store may write; what is beside it must stay as it is."""
    (tmp_path / "beside").write_text("untouched")
    (tmp_path / "versions").mkdir()
    return tmp_path / "store"


def beside(inside: Path) -> dict[str, str]:
    return {
        path.name: path.read_text() if path.is_file() else ""
        for path in inside.parent.iterdir()
        if path != inside
    }


@pytest.mark.promise(28)
@FEW
@given(name=nasty)
def test_no_name_of_a_blend_leads_out_of_its_folder(inside: Path, name: str) -> None:
    store = BlendStore(inside)
    try:
        blend, number = store.save(Blend(name=name, signals={"engine": SignalWeight(1.0)}))
    except Failure as refused:
        assert refused.field == "name" or "name" in refused.message
    else:
        assert name.replace("-", "").replace("_", "").isalnum() and name.isascii()
        assert store.get(f"{name}@{number}")[0].name == blend.name
    with pytest.raises(Failure):
        store.get(f"../{name}")
    assert beside(inside) == {"beside": "untouched", "versions": ""}


@pytest.mark.promise(28)
@FEW
@given(name=nasty)
def test_no_name_of_a_version_leads_out_of_its_folder(inside: Path, name: str) -> None:
    store = VersionStore(inside)
    if not store.versions():
        publish(store, "only")
    for use in (store.get, store.switch_to, store.rollback):
        if use is not store.rollback or name:
            with pytest.raises(Failure):
                use(name)
    assert text_of(store.current()) == "only"
    assert beside(inside) == {"beside": "untouched", "versions": ""}


# Two who publish at once


def racer(root: Path, name: str, rounds: int, start: Barrier, results: Any) -> None:
    store = BlendStore(root)
    for number in range(1, rounds + 1):
        seen = next(one.id for one in store.listed() if one.published)
        start.wait(60)
        try:
            store.publish(f"{name}@{number}", who=name, expect=seen)
            results.put((number, name, "won"))
        except (Conflict, LockHeld) as lost:
            results.put((number, name, lost.code))
        start.wait(60)


@pytest.mark.promise(32)
@pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=HEAVY)])
def test_of_two_who_publish_at_once_exactly_one_wins(
    tmp_path: Path, rounds: int, record_property: Said
) -> None:
    store = BlendStore(tmp_path / "blends")
    store.published_or_default()
    for _ in range(rounds):
        for name in ("ann", "bob"):
            store.save(Blend(name=name, signals={"engine": SignalWeight(1.0)}))
    spawn = multiprocessing.get_context("spawn")
    start, results = spawn.Barrier(2), spawn.Queue()
    racers = [
        spawn.Process(target=racer, args=(tmp_path / "blends", name, rounds, start, results))
        for name in ("ann", "bob")
    ]
    for each in racers:
        each.start()
    found = [results.get(timeout=120) for _ in range(2 * rounds)]
    for each in racers:
        each.join()
    won = sorted((number, name) for number, name, what in found if what == "won")
    assert [number for number, _ in won] == list(range(1, rounds + 1)), "one winner each"
    assert {what for _, _, what in found} <= {"won", "conflict", "lock_held"}
    logged = [(entry.version, entry.who) for entry in store.log() if entry.what == "publish"][1:]
    assert logged == won, "the log tells all of it, in order"
    assert [one.label for one in store.listed() if one.published] == [f"{won[-1][1]}@{rounds}"]
    record_property("runs", rounds)


# Clocks


class Clock(datetime):
    """A clock that somebody sets."""

    at = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls.fromtimestamp(cls.at.timestamp(), tz)


JUMPS = [
    timedelta(seconds=2),  # into the next year
    timedelta(days=-400),
    timedelta(days=4000),
    timedelta(hours=-1),  # the end of summer time
    timedelta(days=-9000),
]


@pytest.mark.promise(37)
def test_versions_follow_each_other_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("versions", "current", "publishing"):
        monkeypatch.setattr(f"indexes.storage.{module}.datetime", Clock)
    store = VersionStore(tmp_path / "index")
    for place, jump in enumerate(JUMPS):
        monkeypatch.setattr(Clock, "at", Clock.at + jump)
        publish(store, f"v{place}")
        assert text_of(store.current()) == f"v{place}"
    assert [text_of(one) for one in store.versions()] == [f"v{n}" for n in range(len(JUMPS))]
    assert text_of(store.rollback()) == f"v{len(JUMPS) - 2}"
    store.prune(1)
    assert_whole(store)


@pytest.fixture
def zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def be_in(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield be_in
    monkeypatch.delenv("TZ")
    time.tzset()


@pytest.mark.promise(37)
def test_histories_keep_their_order_and_their_age_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zones: Callable[[str], None]
) -> None:
    now = datetime(2026, 10, 25, 0, 59, tzinfo=UTC).timestamp()  # a minute before the hour is twice
    store = SqliteHistories(tmp_path / "events", HistorySettings(days=30))
    for number, zone in enumerate(["Europe/Berlin", "UTC", "America/St_Johns", "Asia/Tokyo"]):
        zones(zone)
        clock = now + [0, -3600, 7200, -86_400][number]  # where the machine's clock stands
        monkeypatch.setattr(time, "time", lambda clock=clock: clock)
        at = now + 60 * number
        event = HistoryEvent(type="view", item=str(number), time=at, user="u", id=str(number))
        assert store.append([event]).stored == 1
        assert [one.item for one in store.recent("u")] == [str(n) for n in range(number + 1)]
        assert store.forget_old() == 0
    monkeypatch.setattr(time, "time", lambda: now - 86_400 * 400)  # set back by more than a year
    assert store.forget_old() == 0 and len(store.recent("u")) == 4
    monkeypatch.setattr(time, "time", lambda: now + 86_400 * 29)
    assert store.forget_old() == 0 and len(store.recent("u")) == 4
    monkeypatch.setattr(time, "time", lambda: now + 86_400 * 31)
    assert store.forget_old() == 4
    store.close()
    assert os.environ["TZ"] == "Asia/Tokyo"
