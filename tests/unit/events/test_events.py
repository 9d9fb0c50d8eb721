"""Events: what is cleaned and how, what is refused and why, and what an import counts."""

import csv
import json
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from support.event_files import VIEW, T, imported, kept, write

from indexes.errors import Failure
from indexes.times import TimeSettings
from indexes.workspace import Workspace
from reranker.commands.events import events_commands, export_command, forget_command
from reranker.events.cleaning import BadEvent, Cleaner, fold_query
from reranker.events.events import HistoryEvent
from reranker.events.settings import EventSettings, HistorySettings, event_weights
from reranker.histories.histories import visits
from reranker.pseudonyms.keys import PseudonymKeys

NOW = 1_790_000_000.0


def cleaner(
    strict: bool = False,
    settings: EventSettings | None = None,
    times: TimeSettings | None = None,
) -> Cleaner:
    return Cleaner(settings or EventSettings(), times, strict=strict, clock=lambda: NOW)


def clean(strict: bool = False, settings: EventSettings | None = None, **row: Any) -> HistoryEvent:
    return cleaner(strict, settings).clean(row)


def refused(**changes: Any) -> BadEvent:
    with pytest.raises(BadEvent) as caught:
        clean(strict=True, **(VIEW | changes))
    return caught.value


def test_ids_are_trimmed_and_numbers_are_ids_too() -> None:
    event = clean(user=" u1\t", session="", type=" View ", item=17, time=T, id="\u200be1\u00a0")
    assert (event.user, event.session, event.type, event.item, event.id) == (
        "u1",
        None,
        "view",
        "17",
        "e1",
    )


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Red   SHOES\n", "red shoes"),
        ("ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("Café", "café"),
        ("がっこう", "がっこう"),
        ("STRASSE straße", "strasse strasse"),
        ("a\x00b", "a b"),
    ],
)
def test_queries_are_folded(typed: str, kept: str) -> None:
    assert clean(user="u", type="search", query=typed, time=T).query == kept


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold_query(fold_query(text)) == fold_query(text)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (1_700_000_000, 1.7e9),
        (1_700_000_000.5, 1700000000.5),
        (1_700_000_000_500, 1700000000.5),
        ("1700000000500000", 1700000000.5),
        ("1700000000.5", 1700000000.5),
        ("2026-01-02T03:04:05Z", 1767323045.0),
        (" 20260102T030405Z ", 1767323045.0),
        ("2026-01-02T04:04:05+01:00", 1767323045.0),
        ("2026-01-02 03:04:05", 1767323045.0),
        (datetime.fromisoformat("2026-01-02T03:04:05+00:00"), 1767323045.0),
    ],
)
def test_times_are_epoch_seconds_or_iso(time: Any, seconds: float) -> None:
    assert clean(**(VIEW | {"time": time})).time == seconds


@pytest.mark.promise(37)
def test_a_daylight_saving_change_does_not_reorder() -> None:
    before, after = "2025-10-26T02:59:59+02:00", "2025-10-26T02:00:00+01:00"
    assert clean(**(VIEW | {"time": before})).time < clean(**(VIEW | {"time": after})).time


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("user", {"user": None}),
        ("user", {"user": "u" * 513}),
        ("user", {"user": True}),
        ("session", {"session": "a\x07b"}),
        ("type", {"type": "look"}),
        ("type", {"type": None}),
        ("type", {"type": ["view"]}),
        ("item", {"item": " "}),
        ("item", {"item": 1.5}),
        ("query", {"type": "search"}),
        ("query", {"query": "q" * 2001}),
        ("query", {"query": {"text": "shoes"}}),
        ("time", {"time": None}),
        ("time", {"time": "yesterday"}),
        ("time", {"time": True}),
        ("time", {"time": -1}),
        ("time", {"time": float("inf")}),
        ("time", {"time": 10**400}),
        ("time", {"time": 5}),
        ("time", {"time": 45_000.41}),
        ("time", {"time": "23.11.2026 10:00"}),
        ("session", {"session": " "}),
        ("id", {"id": "\u200b"}),
        ("ranking", {"ranking": "\t"}),
        ("time", {"time": NOW + 86_401}),
        ("price", {"price": -1}),
        ("price", {"price": "dear"}),
        ("price", {"price": float("nan")}),
        ("quantity", {"quantity": 0}),
        ("quantity", {"quantity": -2}),
        ("position", {"position": 1.5}),
        ("position", {"position": -1}),
        ("colour", {"colour": "red"}),
    ],
)
def test_what_is_wrong_is_named(field: str, changes: dict[str, Any]) -> None:
    error = refused(**changes)
    assert error.field == field
    assert field in error.message


def test_messages_say_what_may_be() -> None:
    assert "view, search, cart, uncart, purchase, cancel" in refused(type="look").message
    assert "a spreadsheet's day" in refused(time=45_000.41).message
    assert "the nearest is 'price'" in refused(pryce=1).message
    with pytest.raises(BadEvent, match="an object is expected"):
        Cleaner(EventSettings()).clean([1])


def test_a_returned_quantity_may_be_written_below_zero() -> None:
    assert clean(**(VIEW | {"type": "cancel", "quantity": -3})).quantity == 3


def test_setting_types(tmp_path: Path) -> None:
    settings = EventSettings(types=("wishlist=2", "view=0.5"))
    assert clean(settings=settings, **(VIEW | {"type": "wishlist"})).type == "wishlist"
    weights = event_weights(Workspace(tmp_path, {EventSettings: settings}))
    assert (weights["wishlist"], weights["view"], weights["cart"]) == (2, 0.5, 3)
    for wrong in ("wishlist", "=2", "wishlist=much", "wishlist=1e9"):
        with pytest.raises(Failure, match=r"events\.types holds"):
            EventSettings(types=(wrong,))


def test_a_clock_a_little_ahead_is_counted() -> None:
    ahead = VIEW | {"time": NOW + 3600}
    day = cleaner()
    assert day.clean(ahead).time == NOW + 3600
    assert day.ahead_of_clock == 1
    with pytest.raises(BadEvent, match="in the future"):
        cleaner(times=TimeSettings(future_minutes=59)).clean(ahead)


IDS = st.none() | st.integers(-5, 2**60) | st.floats() | st.text(max_size=4) | st.booleans()
ROWS = st.fixed_dictionaries(
    {"type": st.sampled_from(["view", "Search ", "CART", "cancel", "look", "", None])},
    optional={
        "item": IDS,
        "id": IDS,
        "ranking": IDS,
        "query": st.none() | st.text(max_size=6) | st.integers(),
        "time": st.sampled_from([T, T * 1000, str(T), "2023-11-14 22:13", 5, "soon", True]),
        "price": st.none() | st.floats(-1, 5) | st.just("7.5"),
        "quantity": st.none() | st.integers(-2, 2),
        "position": st.none() | st.integers(-1, 3),
        "personalize": st.booleans(),
        "session": IDS,
    },
)


def outcome(read: Callable[[], HistoryEvent]) -> HistoryEvent | tuple[str | None, str]:
    try:
        return read()
    except BadEvent as error:
        return error.field, error.message


@given(ROWS)
def test_an_event_sent_along_is_the_event_that_is_kept(row: dict[str, Any]) -> None:
    stored = row | {"user": "u"} | {"time": row.get("time", T)}
    kept = outcome(lambda: cleaner().clean(stored))
    assert outcome(lambda: cleaner().clean_sent(row | {"user": "u"}, T)) == kept
    alone = outcome(lambda: cleaner().clean_sent(row, T))
    if isinstance(kept, HistoryEvent):
        kept = msgspec.structs.replace(kept, user=None)
    assert alone == kept


def test_a_history_that_is_sent_along_needs_no_shopper_and_no_time() -> None:
    event = cleaner().clean_sent({"type": " VIEW", "item": "\ufeffe\u0301 "}, 7.0)
    assert event == HistoryEvent(type="view", item="\u00e9", time=7.0)
    with pytest.raises(BadEvent) as caught:
        cleaner(strict=True).clean_sent({"type": "view", "item": "1", "tiem": 5}, 7.0)
    assert caught.value.field == "tiem"


def test_visits_split_at_silences() -> None:
    assert visits([0, 1800, 3601, 3602], 30) == [0, 0, 1, 1]
    assert visits([], 30) == []


def some_events() -> list[dict[str, Any]]:
    return [
        {"user": f"u{n % 7}", "type": "purchase", "item": f"{n % 11}", "time": 1e9 + n, "price": n}
        for n in range(100)
    ]


def test_all_formats_give_the_same_history_and_a_rerun_adds_nothing(tmp_path: Path) -> None:
    rows = some_events()
    files = [write(tmp_path / "e.jsonl.gz", rows), tmp_path / "e.csv", tmp_path / "e.parquet"]
    with files[1].open("w") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), files[2])
    first = imported(tmp_path / "home", files[0])
    assert (first.read, first.stored, first.users) == (100, 100, 7)
    before = kept(tmp_path / "home", "u3")
    for path in files:  # without ids, an event is known again by what it says
        again = imported(tmp_path / "home", path)
        assert (again.stored, again.already_kept) == (0, 100)
    assert kept(tmp_path / "home", "u3") == before


def test_events_without_id_count_as_often_as_the_file_holds_them(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", [VIEW, VIEW, VIEW | {"item": "2"}, VIEW])
    assert imported(tmp_path / "home", path).stored == 4
    assert imported(tmp_path / "home", path).already_kept == 4


@pytest.mark.promise(19)
def test_duplicates_by_id_count_once(tmp_path: Path) -> None:
    rows = [VIEW | {"id": "a"}, VIEW | {"id": "b"}, VIEW | {"id": "a", "price": None}]
    done = imported(tmp_path / "home", write(tmp_path / "e.jsonl", rows))
    assert (done.stored, done.duplicates, done.conflicts) == (2, 1, 0)
    assert [event["id"] for event in kept(tmp_path / "home", "u1")] == ["a", "b"]


def test_an_alias_is_the_type_and_the_types_of_the_shop_have_weights(tmp_path: Path) -> None:
    settings = EventSettings(types=("Add_To_Cart=cart", "wish=2", "heart=WISH"))
    for word, kind in (("add_to_cart", "cart"), (" ADD_TO_CART", "cart"), ("Heart", "wish")):
        assert clean(settings=settings, **(VIEW | {"type": word})).type == kind
        row = VIEW | {"type": word}
        assert cleaner(settings=settings).clean_sent(row, 0.0).type == kind
    assert settings.weights()["wish"] == 2 and "heart" not in settings.weights()
    for wrong, words in (
        (("heart=wish", "wish=cart"), "'wish' is no type"),
        (("heart=look",), "one of view, search, cart, uncart, purchase, cancel"),
        (("cart=view",), "'cart' is a type itself"),
    ):
        with pytest.raises(Failure, match=r"events\.types holds") as caught:
            EventSettings(types=wrong)
        assert words in caught.value.message


@pytest.mark.promise(19)
@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_order_gives_the_same_history(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("order")
    rows = [
        {"session": f"s{n % 4}", "type": "view", "item": str(n), "time": T + n} for n in range(20)
    ] + [{"user": f"u{n}", "session": f"s{n}", "type": "view", "item": "l", "time": T + n + 10.5}
         for n in range(3)]  # fmt: skip
    homes = []
    for name in ("sorted", "shuffled"):
        if homes:  # the same names on the disk
            shutil.copytree(folder / "sorted/pseudonyms", folder / name / "pseudonyms")
        imported(folder / name, write(folder / f"{name}.jsonl", rows))
        homes.append([kept(folder / name, f"u{n}") for n in range(3)])
        chance.shuffle(rows)
    assert homes[0] == homes[1]
    assert len(homes[0][0]) == 6


@pytest.mark.promise(19)
def test_equal_times_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [VIEW | {"item": str(n)} for n in (3, 1, 2)]
    imported(tmp_path / "home", write(tmp_path / "e.jsonl", rows))
    assert [event["item"] for event in kept(tmp_path / "home", "u1")] == ["3", "1", "2"]


def test_out_of_order_and_visits_are_counted(tmp_path: Path) -> None:
    rows = [VIEW | {"time": T + time} for time in (5000, 100, 200, 9000)]
    rows.append(VIEW | {"time": "2026-01-01T00:00:00"})
    done = imported(tmp_path / "home", write(tmp_path / "e.jsonl", rows))
    assert (done.out_of_order, done.visits, done.without_zone) == (2, 4, 1)
    apart = EventSettings(session_minutes=5000)
    assert imported(tmp_path / "other", tmp_path / "e.jsonl", apart).visits == 2


def test_bad_lines_are_counted_and_too_many_leave_everything(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", [*some_events(), VIEW | {"type": "look"}])
    with path.open("a") as file:
        file.write("{half\n")
    with pytest.raises(Failure, match="2 of 102 lines"):
        imported(tmp_path / "home", path)
    assert not kept(tmp_path / "home", "u1")
    done = imported(tmp_path / "home", path, share=0.5)
    assert (done.read, done.stored, done.rejected_by_field) == (102, 100, {"type": 1, "line": 1})
    lax = EventSettings(max_bad_share=0.02)
    assert imported(tmp_path / "lax", path, lax).stored == 100


def test_unknown_columns_are_passed_over_and_named(tmp_path: Path) -> None:
    done = imported(tmp_path / "home", write(tmp_path / "e.jsonl", [VIEW | {"colour": "red"}]))
    assert (done.stored, done.ignored_columns) == (1, ["colour"])


def test_bots_are_reported_or_dropped(tmp_path: Path) -> None:
    fast = [VIEW | {"user": "robot", "item": str(n), "time": T + 40 + n / 2} for n in range(40)]
    basket = [VIEW | {"user": "b", "type": "purchase", "item": str(n)} for n in range(40)]
    path = write(tmp_path / "e.jsonl", [*fast, *basket])
    reported = imported(tmp_path / "home", path, EventSettings(bot_events_per_minute=30))
    assert (reported.bots, reported.bot_events, reported.stored) == (1, 40, 80)
    assert (reported.fastest[0].shopper, reported.fastest[0].events_in_a_minute) == ("robot", 40)
    settings = EventSettings(bot_events_per_minute=30, drop_bots=True)
    dropped = imported(tmp_path / "other", path, settings)
    assert (dropped.bots, dropped.stored, dropped.bots_dropped) == (1, 40, True)
    assert imported(tmp_path / "third", path).bots == 0  # 40 are fewer than the default allows


def test_unknown_items_are_kept_and_counted(own_home: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", [VIEW, VIEW | {"item": "nowhere", "price": 0}])
    done = imported(own_home, path)
    assert (done.stored, done.unknown_items, done.unknown_item_events) == (2, 1, 1)
    assert kept(own_home, "u1")[1]["price"] == 0
    assert imported(tmp_path / "no-index", path).unknown_item_events is None


def test_an_empty_file_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="holds no event"):
        imported(tmp_path / "home", write(tmp_path / "e.jsonl", []))


class Program:
    """The commands as the command line runs them."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def __call__(self, *args: str) -> Result:
        commands = {"events": events_commands, "export": export_command, "forget": forget_command}
        return CliRunner().invoke(commands[args[0]], args[1:], obj=self.workspace)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    yield Program(Workspace(tmp_path / "home"))


def test_the_commands_import_export_and_forget(program: Program, tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", [*some_events(), {"user": "u1"}])
    done = program("events", "import", str(path), "--json")
    assert json.loads(done.stdout)["stored"] == 100
    assert "line 101: type is missing" in done.stderr
    assert "already kept" in program("events", "import", str(path)).stdout
    lines = program("export", "u1").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        row | {"price": float(row["price"])} for row in some_events() if row["user"] == "u1"
    ]
    assert json.loads(program("forget", "u1", "--json").stdout)["events"] == len(lines)
    for command in ("export", "forget"):
        failed = program(command, "u1")
        assert isinstance(failed.exception, Failure)
        assert "of the user 'u1' is kept" in str(failed.exception)


def test_an_order_number_on_every_line_costs_no_line_and_is_named(
    program: Program, tmp_path: Path
) -> None:
    line = {"user": "u1", "type": "purchase", "time": T, "id": "order-7"}
    rows = [line | {"item": str(n)} for n in range(3)] + [line | {"user": "u2", "item": "0"}]
    path = str(write(tmp_path / "e.jsonl", rows))
    done = json.loads(program("events", "import", path, "--json").stdout)
    assert (done["stored"], done["duplicates"], done["conflicts"]) == (4, 0, 2)
    first = {"shopper": "u1", "id": "order-7", "type": "purchase", "item": "1"}
    assert done["first_conflict"] == first
    again = json.loads(program("events", "import", path, "--json").stdout)
    assert (again["stored"], again["already_kept"], again["conflicts"]) == (0, 4, 0)
    more = str(write(tmp_path / "more.jsonl", [line | {"item": "9"}]))
    assert "first 'order-7' of 'u1' on purchase '9'" in program("events", "import", more).stdout


def test_reasons_are_told_by_how_common_they_are(program: Program, tmp_path: Path) -> None:
    rows = [VIEW, *({**VIEW, "type": word} for word in "xyz"), VIEW | {"time": 2026}]
    path = str(write(tmp_path / "e.jsonl", rows))
    failed = program("events", "import", path, "--json")
    assert isinstance(failed.exception, Failure)
    assert "3 x type is 'x'" in failed.exception.message
    assert "1 x time is 2026, which looks like a year" in failed.exception.message
    done = json.loads(program("events", "import", path, "--json", "--max-bad-share", "1").stdout)
    assert [reason["lines"] for reason in done["rejected_reasons"]] == [3, 1]


def test_what_is_exported_can_be_imported(program: Program, tmp_path: Path) -> None:
    rows = [
        {"user": "u", "session": "s", "type": "search", "query": "tea", "time": T + 7.25},
        VIEW
        | {"user": "u", "position": 0, "price": 0.0, "quantity": 2.0, "ranking": "r", "id": "e"},
    ]
    imported(program.workspace.home, write(tmp_path / "e.jsonl", rows))
    exported = tmp_path / "out.jsonl"
    exported.write_text(program("export", "u").stdout)
    imported(tmp_path / "second", exported)
    assert kept(tmp_path / "second", "u") == kept(program.workspace.home, "u")
    assert imported(program.workspace.home, exported).already_kept == 2


def test_forget_leaves_no_byte_and_proves_it(program: Program, tmp_path: Path) -> None:
    marker = "marker query of nobody else"
    rows = [
        row
        for n in range(1500)
        for row in (
            {"user": f"shopper-{n % 50}", "type": "view", "item": str(n), "time": T + n},
            {"user": "shopper-secret", "type": "search", "query": f"{marker} {n}", "time": T + n},
            {"session": f"visit-{n}", "type": "view", "item": "1", "time": T + n},
        )
    ]
    rows += [VIEW | {"user": "shopper-secret", "session": "visit-7", "time": T + 9999}]
    imported(program.workspace.home, write(tmp_path / "e.jsonl", rows))
    name = PseudonymKeys(program.workspace.home).open().user("shopper-secret").encode()
    assert files_with(program.workspace.home, name)
    done = json.loads(program("forget", "shopper-secret", "--json").stdout)
    assert (done["events"], done["sessions"]) == (1502, 1)
    assert done["searched"]["found"] == [] and done["verified"]
    assert done["searched"]["files"] >= 1
    for needle in (b"shopper-secret", name, marker.encode(), b"visit-7\x00"):
        assert not files_with(program.workspace.home, needle)
    assert len(kept(program.workspace.home, "shopper-7")) == 30


def files_with(home: Path, needle: bytes) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file() and needle in path.read_bytes()]


def test_history_days_is_obeyed_by_expire(tmp_path: Path) -> None:
    imported(tmp_path, write(tmp_path / "e.jsonl", [VIEW]))
    settings = HistorySettings(days=1)
    program = Program(Workspace(tmp_path, {HistorySettings: settings}))
    assert json.loads(program("events", "expire", "--json").stdout)["events"] == 1
    assert not kept(tmp_path, "u1")
