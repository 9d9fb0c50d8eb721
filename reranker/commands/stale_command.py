"""stale_command.py: `reranker evaluate stale FILE` on the command line."""

from pathlib import Path

import click
import msgspec

from indexes.workspace import Workspace
from reranker.evaluation.provenance import read_saved, stale


@click.command("stale")
@click.argument("result", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="End with the changes as one JSON object.")
@click.pass_context
def stale_command(context: click.Context, result: Path, as_json: bool) -> None:
    """Say what has changed since RESULT was saved with --save-result.

    Exit status 1 when anything has: blends, requests, judgments, index, model or code.
    """
    workspace: Workspace = context.obj
    changes = stale(read_saved(result), workspace)
    if as_json:
        click.echo(msgspec.json.encode({"stale": changes}).decode())
    elif changes:
        click.echo("\n".join([f"{result} is stale:", *(f"  {change}" for change in changes)]))
    else:
        click.echo(f"{result} still holds: nothing that it was made from has changed.")
    if changes:
        context.exit(1)
