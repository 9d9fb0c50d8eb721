"""What an import warns of, and how it tells a file of another kind."""

from pathlib import Path

import pytest
from support.event_files import VIEW, T, imported, kept, write

from indexes.errors import Failure
from reranker.events.settings import EventSettings


def test_ids_that_name_nobody(tmp_path: Path) -> None:
    many = [
        {"user": word, "session": f"s{n}", "type": "view", "item": "1", "time": T + n}
        for n in range(30)
        for word in ("Undefined", "0")
    ]
    alone = [VIEW | {"user": "null", "time": T + 86_400 * n} for n in range(25)]
    path = write(tmp_path / "e.jsonl", [*many, *alone, VIEW | {"user": "NaN"}])
    done = imported(tmp_path / "home", path)
    assert (done.stored, done.null_ids, len(done.warnings)) == (86, 0, 3)
    assert "the user 'Undefined' has 30 events of 30 sessions" in done.warnings[0]
    assert "the user 'null' has 25 events of 25 visits" in done.warnings[2]
    dropped = imported(tmp_path / "other", path, EventSettings(drop_null_ids=True))
    assert (dropped.stored, dropped.rejected, dropped.null_ids) == (60, 26, 86)
    assert (dropped.users, dropped.anonymous_sessions, dropped.warnings) == (0, 30, [])
    rows = [VIEW | {"user": "(not set)", "session": f"s{n}", "time": T + n} for n in range(10)]
    [warning] = imported(tmp_path / "short", write(tmp_path / "short.jsonl", rows)).warnings
    assert "the user '(not set)' has 10 events of 10 sessions" in warning
    few = [VIEW | {"user": "0", "time": T + n} for n in range(40)]  # one visit of user number 0
    assert not imported(tmp_path / "third", write(tmp_path / "few.jsonl", few)).warnings


def test_mixed_units_and_ids_of_data_frames_are_named(own_home: Path, tmp_path: Path) -> None:
    rows = [VIEW, VIEW | {"time": T * 1000}, VIEW | {"time": "2026-01-01T10:00"}]
    done = imported(tmp_path / "home", write(tmp_path / "e.jsonl", rows))
    assert done.warnings == ["times come in mixed units: 1 in s, 1 in ms"]
    assert done.without_zone == 1
    floats = [VIEW | {"user": "6.0", "item": "17.0"}]
    done = imported(own_home, write(tmp_path / "floats.jsonl", floats))
    assert "every user is written like '6.0'" in done.warnings[0]
    assert "'17.0' is '17' there" in done.warnings[1]
    assert imported(own_home, write(tmp_path / "f.jsonl", [VIEW | {"item": 17.0}])).warnings == []


def test_items_of_another_shop_are_warned_of(own_home: Path, tmp_path: Path) -> None:
    rows = [VIEW | {"item": f"sku-{n}"} for n in range(3)]
    done = imported(own_home, write(tmp_path / "e.jsonl", rows))
    assert (
        "3 of 3 items are not in the published index: the events have 'sku-0'" in done.warnings[0]
    )
    half = [*rows, *(VIEW | {"item": str(n)} for n in (17, 18))]
    done = imported(own_home, write(tmp_path / "half.jsonl", half))
    assert "3 of 5 items" in done.warnings[0]
    assert not imported(own_home, write(tmp_path / "less.jsonl", half[1:])).warnings


def test_a_file_of_no_known_format_says_what_columns_it_has(tmp_path: Path) -> None:
    row = {"what": "view", "when": 5}
    with pytest.raises(Failure) as lines:
        imported(tmp_path / "home", write(tmp_path / "e.jsonl", [row] * 3), share=0.5)
    table = tmp_path / "e.csv"
    table.write_text("what,when\nview,5\n")
    with pytest.raises(Failure) as columns:
        imported(tmp_path / "home", table)
    for failure in (lines.value, columns.value):
        assert "An event needs type and time" in str(failure) and "--map item=sku" in str(failure)
        assert all(repr(name) in failure.message for name in row)


def test_searches_alone_and_what_leaves_the_cart_alone_are_files_too(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("price", "quantity", "id", "session", "ranking", "position", "query"))
    searches = [
        {"user": "u1", "type": "search", "query": "tea", "time": T, "item": None},
        {"user": "u1", "type": "search", "query": "tea", "time": T, "item": ""},
    ]
    uncarts = [VIEW | nothing | {"type": "uncart", "quantity": -2}, VIEW | nothing]
    refusing = [VIEW | {"personalize": False}]
    for name, rows, stored in (("s", searches, 2), ("u", uncarts, 2), ("r", refusing, 0)):
        done = imported(tmp_path / name, write(tmp_path / f"{name}.jsonl", rows))
        assert (done.stored, done.rejected, done.warnings) == (stored, 0, [])
    assert [event.get("quantity") for event in kept(tmp_path / "u", "u1")] == [2, None]


def test_a_file_without_an_event_says_why_however_much_is_let_pass(tmp_path: Path) -> None:
    rows = [{"event_name": "view_item", "moment": T} for _ in range(3)]
    path = write(tmp_path / "e.jsonl", rows)
    with pytest.raises(Failure) as failed:
        imported(tmp_path / "home", path, EventSettings(max_bad_share=1.0))
    assert "holds no event: 3 x type is missing (line 1)" in failed.value.message
    assert "'event_name', 'moment'" in failed.value.message
