"""Carts that were left, by hand; and the command that writes them."""

import json
from pathlib import Path

import pyarrow.parquet as pq
from click.testing import CliRunner
from support.cart_shop import cart_shop

from reranker.applications.carts.abandoned import AbandonedCart, abandoned_carts
from reranker.events.events import HistoryEvent
from reranker.histories.histories import Shopper
from service.commands.cli import cli

HOUR = 3600.0


def event(kind: str, item: str, hour: float, **more: float) -> HistoryEvent:
    return HistoryEvent(type=kind, item=item, time=hour * HOUR, **more)


HISTORIES = [
    (Shopper("left", None), [event("cart", "a", 0, price=3.0, quantity=2), event("cart", "b", 0)]),
    (Shopper("bought", None), [event("cart", "a", 0), event("purchase", "a", 1)]),
    (Shopper("emptied", None), [event("cart", "a", 0), event("uncart", "a", 1)]),
    (Shopper(None, "dear"), [event("cart", "c", 10)]),
    (Shopper("back", None), [event("cart", "a", 0), event("view", "b", 100)]),
]
PRICES = {"b": 10.0, "c": 99.0}


def carts(hours: float, as_of: float | None = None) -> list[AbandonedCart]:
    return abandoned_carts(HISTORIES, hours, lambda _: PRICES, None, 30.0, as_of)


def test_carts_that_were_left_come_with_their_value_the_dearest_first() -> None:
    dear, left = carts(24.0)
    assert (dear.session, dear.value, dear.idle_hours) == ("dear", 99.0, 90.0)
    assert (left.user, left.items, left.value) == ("left", {"a": 2.0, "b": 1.0}, 16.0)
    assert left.priced == 2 and left.probability is None


def test_now_is_the_newest_event_or_as_of() -> None:
    assert [cart.session for cart in carts(24.0)] == ["dear", None]
    early = carts(24.0, as_of=24.5 * HOUR)
    assert [cart.user for cart in early] == ["left", "back"]
    assert not carts(101.0)


def test_the_command_writes_them(shop_home: Path, tmp_path: Path) -> None:
    """Of the newest visits those who put in a chair left it there."""
    home = cart_shop(shop_home, tmp_path)
    for suffix, head in ((".jsonl", 0), (".csv", 1)):
        out = tmp_path / f"carts{suffix}"
        args = ["--home", str(home), "carts", "abandoned", "--hours", "2", "--out", str(out)]
        done = CliRunner().invoke(cli, [*args, "--json"])
        assert done.exit_code == 0, done.output
        result = json.loads(done.stdout.splitlines()[-1])
        assert result["carts"] == len(out.read_text().splitlines()) - head > 0
    for line in (tmp_path / "carts.jsonl").read_text().splitlines():
        cart = json.loads(line)
        assert set(cart["items"]) <= {"20", "21", "22", "23", "24"}
        assert 0 < cart["probability"] < 1 and cart["value"] > 0 and cart["idle_hours"] >= 2
    table = tmp_path / "carts.parquet"
    done = CliRunner().invoke(cli, [*args[:-1], str(table)])
    assert done.exit_code == 0, done.output
    rows = pq.read_table(table).to_pylist()
    assert [row["value"] for row in rows] == [
        json.loads(line)["value"] for line in (tmp_path / "carts.jsonl").read_text().splitlines()
    ]
    assert rows[0]["items"][0]["quantity"] > 0 and rows[0]["last_event"].year > 2000
    wrong = CliRunner().invoke(cli, [*args[:-1], str(tmp_path / "carts.txt")])
    assert wrong.exit_code == 2 and ".jsonl, .csv, .parquet" in wrong.output
