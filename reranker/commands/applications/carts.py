"""carts.py: `reranker evaluate cart` on the command line."""

from pathlib import Path
from typing import Any, Final

import click

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.commands.input_files import InputFile
from reranker.commands.next_item import read_sequences
from reranker.commands.output import echo_result, json_option
from reranker.events.settings import EventSettings
from reranker.model.settings import TrainSettings

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
    from reranker.applications.cart_evaluation import TooFewBaskets, evaluate_carts  # scipy

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
