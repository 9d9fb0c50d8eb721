"""carts.py: `reranker carts` and `reranker evaluate cart` on the command line."""

import csv
import io
import math
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from indexes.errors import Failure
from indexes.items.index import ItemIndex, published_version
from indexes.storage.durable import OWN_FILE, replace_synced
from indexes.workspace import Workspace
from reranker.applications.carts.abandoned import AbandonedCart, abandoned_carts
from reranker.applications.carts.cart_model import load
from reranker.commands.finite_range import FiniteRange
from reranker.commands.input_files import InputFile
from reranker.commands.next_item import read_sequences
from reranker.commands.output import echo_result, json_option
from reranker.commands.train_options import time_option
from reranker.events.settings import EventSettings
from reranker.histories.store import open_histories
from reranker.model.settings import TrainSettings
from reranker.model.versions import model_store

_COLUMNS: Final = ("recall@10", "ndcg@10", "repeat_recall@10", "explore_recall@10")
_TITLES: Final = {"complete": "completion, one item hidden", "next": "next basket"}


@click.command("cart")
@click.option("--events", "source", type=InputFile(), help="Instead of the imported events.")
@click.option(
    "--cases",
    type=click.IntRange(min=2),
    default=4_000,
    show_default=True,
    help="Most baskets of the test, drawn at random.",
)
@json_option("End with the result as one JSON object.")
@click.pass_obj
def evaluate_cart_command(
    workspace: Workspace, source: Path | None, cases: int, as_json: bool
) -> None:
    """Complete carts and foresee next baskets of the newest fifth of the baskets.

    Counts and blend are of the baskets before; nothing is published. The whole catalogue is ranked.
    """
    from reranker.applications.carts.cart_evaluation import TooFewBaskets, evaluate_carts  # scipy

    sequences, _ = read_sequences(workspace, source, ids_only=True)
    train, minutes = workspace.section(TrainSettings), workspace.section(EventSettings)
    try:
        report = evaluate_carts(
            sequences,
            minutes.session_minutes,
            train.min_users,
            train.min_users_together,
            cases,
        )
    except TooFewBaskets as error:
        raise Failure(f"{error}.", hint="Give more events of the type purchase.") from None
    echo_result(report, _table(report), as_json)


def _table(report: Any) -> str:
    lines = [
        f"{report.baskets:,} baskets, {report.trained:,} learned from, {report.items:,} items; "
        "split by time, whole catalogue"
    ]
    for task, title in _TITLES.items():
        prefix = "" if task == "complete" else "next_"
        heads = "".join(f"{name.replace('_recall', ''):>12}" for name in _COLUMNS)
        lines.append(f"{title} ({report.cases[task]:,})\n  {'':<20}{heads}")
        for name, metrics in report.metrics.items():
            cells = "".join(f"{metrics[prefix + column]:>12.4f}" for column in _COLUMNS)
            lines.append(f"  {name:<20}{cells}")
        apart = report.difference[task]["ndcg@10"]
        interval = "" if apart.low is None else f", 95 % {apart.low:+.4f} to {apart.high:+.4f}"
        lines.append(
            f"  ndcg@10 of blend minus {report.best_single[task]}: {apart.mean:+.4f}{interval}"
        )
    lines.append(f"shipped: {report.shipped} (complete), {report.shipped_next} (next)")
    return "\n".join(lines)


@click.group("carts")
def carts_commands() -> None:
    """Carts that were left."""


@carts_commands.command("abandoned")
@click.option(
    "--hours",
    type=FiniteRange(min=0),
    default=24.0,
    show_default=True,
    help="Carts of shoppers who did nothing for so long.",
)
@click.option(
    "--days",
    type=FiniteRange(min=0),
    default=30.0,
    show_default=True,
    help="... but something in the days before.",
)
@click.option("--as-of", help="This time is now (ISO 8601), instead of the newest kept event's.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file: .jsonl, .csv or .parquet.",
)
@json_option("End with one JSON object.")
@click.pass_obj
def abandoned_command(
    workspace: Workspace, hours: float, days: float, as_of: str | None, out: Path, as_json: bool
) -> None:
    """List carts worth a reminder, by value x the chance that such a cart is ordered.

    Shoppers have the names under which they are kept (pseudonyms). A probability comes from the
    published model; the value is of the events' prices, else the catalogue's.
    """
    if out.suffix not in _WRITERS:
        raise click.UsageError(
            f"--out is {out}; a name that ends in {', '.join(_WRITERS)} is expected."
        )
    index = ItemIndex(published_version(workspace))
    version = model_store(workspace).current()
    loaded = load(version.folder) if version else None
    minutes = workspace.section(EventSettings).session_minutes
    now = None if as_of is None else time_option(workspace, as_of, "--as-of")
    with closing(open_histories(workspace)) as histories:
        carts = abandoned_carts(
            histories.stream(),
            hours,
            partial(_prices, index),
            loaded[0].ordered if loaded else None,
            minutes,
            now,
            days,
        )
    _WRITERS[out.suffix](out, carts)
    value = round(sum(cart.value for cart in carts), 2)
    told = any(cart.probability is not None for cart in carts)
    why = "" if told or not carts else "\n  no probability: the model has seen no unordered carts"
    text = f"{len(carts):,} carts worth {value:,.2f} in {out}{why}"
    echo_result({"carts": len(carts), "value": value, "out": str(out)}, text, as_json)


def _prices(index: ItemIndex, items: list[str]) -> dict[str, float]:
    """The catalogue's price of each item that has one."""
    rows = index.rows(items)
    prices = index.columns.price[rows].tolist()
    return {
        item: price
        for item, row, price in zip(items, rows.tolist(), prices, strict=True)
        if row >= 0 and math.isfinite(price)
    }


def _as_row(cart: AbandonedCart) -> dict[str, Any]:
    last = datetime.fromtimestamp(cart.last_event, UTC).isoformat()
    return msgspec.structs.asdict(cart) | {"last_event": last}


def _write_jsonl(out: Path, carts: list[AbandonedCart]) -> None:
    rows = (msgspec.json.encode(_as_row(cart)) + b"\n" for cart in carts)
    replace_synced(out, b"".join(rows), OWN_FILE)


def _write_csv(out: Path, carts: list[AbandonedCart]) -> None:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, AbandonedCart.__struct_fields__)
    writer.writeheader()
    for cart in carts:
        items = " ".join(f"{item}:{amount:g}" for item, amount in cart.items.items())
        writer.writerow(_as_row(cart) | {"items": items})
    replace_synced(out, file.getvalue().encode(), OWN_FILE)


def _write_parquet(out: Path, carts: list[AbandonedCart]) -> None:
    """items: a list of item and quantity; last_event: a time in UTC."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    line = pa.struct([("item", pa.string()), ("quantity", pa.float64())])
    kinds = {
        **{name: pa.string() for name in ("user", "session")},
        **{"items": pa.list_(line), "priced": pa.int32()},
        "last_event": pa.timestamp("ms", tz="UTC"),
    }
    schema = pa.schema(
        [(name, kinds.get(name, pa.float64())) for name in AbandonedCart.__struct_fields__]
    )
    rows = [
        msgspec.structs.asdict(cart)
        | {
            "items": [{"item": item, "quantity": much} for item, much in cart.items.items()],
            "last_event": datetime.fromtimestamp(cart.last_event, UTC),
        }
        for cart in carts
    ]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), file)
    replace_synced(out, file.getvalue(), OWN_FILE)


_WRITERS: Final = {".jsonl": _write_jsonl, ".csv": _write_csv, ".parquet": _write_parquet}
