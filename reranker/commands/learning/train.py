"""train.py: `reranker train` on the command line."""

from typing import Any

import click

from indexes.storage.versions import exclusive
from indexes.workspace import Workspace
from reranker.commands.finite_range import FiniteRange
from reranker.commands.output import echo_result, json_option
from reranker.commands.train_options import time_option, with_options
from reranker.model.settings import ENCODERS


@click.command("train")
@click.option("--encoder", type=click.Choice(ENCODERS), help="Instead of train.encoder.")
@click.option(
    "--minutes",
    type=FiniteRange(min=0),
    help="End after this with the best so far; 0: when it no longer gets better.",
)
@click.option(
    "--until",
    help="Only events before this time (ISO 8601): requests from then on are an honest test.",
)
@click.option(
    "--counts-only",
    is_flag=True,
    help="Publish what is counted (popular, clicked, repeat, together, ...) without an encoder.",
)
@click.option(
    "--from-scratch",
    is_flag=True,
    help="Forget what the encoder has learned so far, instead of beginning with it.",
)
@json_option("End with one JSON object.")
@click.pass_obj
def train_command(
    workspace: Workspace,
    encoder: str | None,
    minutes: float | None,
    until: str | None,
    counts_only: bool,
    from_scratch: bool,
    as_json: bool,
) -> None:
    """Learn from the imported events, fit the default blend, and publish what is proved.

    A sequence encoder learns the next item, over the whole catalogue; beside it stand counts of
    what shoppers do. The default blend is fitted on the last searches of some shoppers, of which
    neither has seen anything, with the encoder and without it. The encoder is published only if the
    blend with it is better there, beyond doubt; else counts and a blend without it are. A training
    that was interrupted, or that --minutes ended, goes on where it was; one with other events or
    items begins with the weights of the one before.
    """
    from reranker.applications.applications import BESIDE
    from reranker.model_selection.train import train  # torch, which no other command needs

    settings = with_options(workspace, encoder=encoder, minutes=minutes)
    end = None if until is None else time_option(workspace, until, "--until")
    root = workspace.home / "model"
    with exclusive(root / "lock", "train"):
        summary = train(
            workspace,
            settings,
            on_line=lambda line: click.echo(line, err=True),
            until=end,
            counts_only=counts_only,
            from_scratch=from_scratch,
            beside=BESIDE,
        )
    echo_result(summary, _report(summary), as_json)


def _report(summary: dict[str, Any]) -> str:
    lines = [f"model {summary['version']} published"]
    if summary["encoder"] is None:
        lines[0] += " without an encoder: counts alone, so that behaviour stays silent"
        lines.append(f"  because   {summary['reason']}")
    else:
        lines.append(f"  encoder   {summary['encoder']} ({summary['parameters']:,} parameters)")
    if summary["known_before"] is not None:
        lines.append(
            f"  began     with the weights of the training before, which knew "
            f"{summary['known_before']:,} of these items"
        )
    lines.append(
        f"  trained   {summary['shoppers']:,} shoppers, {summary['events']:,} events, "
        f"{summary['known_items']:,} items"
    )
    if summary["epochs"] is not None:
        lines += [
            f"  NDCG@10   {summary['ndcg@10']:.4f} on held-out items, over all "
            f"{summary['items']:,} items",
            f"  epochs    {summary['epochs']} (best {summary['best_epoch']}; ended by "
            f"{summary['stopped']})",
        ]
    if summary["stopped"] == "minutes":
        lines.append(
            "  NOT DONE  it was still getting better when the minutes were over; "
            "`reranker train --minutes 0` goes on until it does not"
        )
    if summary["proof"] is not None:
        lines += _proof_lines(summary["proof"])
    lines += [f"  blend     {summary['blend']}", f"  seconds   {summary['seconds']:,.1f}"]
    return "\n".join(lines)


def _proof_lines(proof: dict[str, Any]) -> list[str]:
    """What the held-out searches say of the blend, with and without the encoder."""
    orders = ", ".join(
        f"{name.replace('_', ' ')} {value:.4f}" for name, value in proof["ndcg"].items()
    )
    lines = [
        f"  proof     NDCG@10 of {proof['requests']:,} searches held out "
        f"(of {proof['moments']:,} moments): {orders}"
    ]
    if proof["logged"]:
        lines.append(
            f"            {proof['logged']:,} of them with the candidates that were logged, "
            "weighed by how likely each place is looked at"
        )
    if (difference := proof["difference"]) is not None and difference["low"] is not None:
        lines.append(
            f"            the encoder adds {difference['mean']:+.4f} "
            f"({difference['low']:+.4f} to {difference['high']:+.4f})"
        )
    return lines
