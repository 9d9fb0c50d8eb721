"""pseudonym_commands.py: `reranker pseudonyms status` and `rotate` on the command line."""

import click
import msgspec

from indexes.workspace import Workspace
from reranker.histories.store import open_histories
from reranker.privacy.rotation import rotate
from reranker.pseudonyms.keys import PseudonymKeys

_JSON = click.option("--json", "as_json", is_flag=True, help="End with one JSON object.")


@click.group("pseudonyms")
def pseudonyms_commands() -> None:
    """The keys under which users and sessions are kept."""


@pseudonyms_commands.command("status")
@_JSON
@click.pass_obj
def status_command(workspace: Workspace, as_json: bool) -> None:
    """Show how many keys there are; replaces plain names that an earlier release has left."""
    histories = open_histories(workspace)
    users = sum(1 for _ in histories.users())
    histories.close()
    keys = PseudonymKeys(workspace.home)
    names = keys.read()
    generation = names.generation if names else 0
    if as_json:
        answer = {"generation": generation, "file": str(keys.path), "users": users}
        click.echo(msgspec.json.encode(answer).decode())
    elif names is None:
        click.echo("No key was made yet: nothing is kept of anybody.")
    else:
        click.echo(f"{users:,} users are kept under pseudonyms of generation {generation}.")
        click.echo(f"The keys are in {keys.path}; without them nobody can be recognised.")


@pseudonyms_commands.command("rotate")
@_JSON
@click.pass_obj
def rotate_command(workspace: Workspace, as_json: bool) -> None:
    """Make a new key and re-key histories and logged rankings, while a service goes on.

    Everybody keeps their history. The keys of before alone no longer tell whose it is.
    """
    done = rotate(workspace)
    if as_json:
        click.echo(msgspec.json.encode(done).decode())
    else:
        click.echo(
            f"{done.shoppers:,} shoppers and {done.rankings:,} names in logged rankings have "
            f"pseudonyms of generation {done.generation} now."
        )
