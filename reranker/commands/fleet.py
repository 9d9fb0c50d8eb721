"""fleet.py: `reranker publish --to URL` on the command line."""

import click

from indexes.errors import Failure
from indexes.progress import bars
from indexes.workspace import Workspace
from reranker.commands.output import echo_json, echo_result, json_option
from reranker.fleet.object_store import ObjectStore, open_store
from reranker.fleet.push import Pushed, push, roll_back
from reranker.fleet.sets import SETS, read_pointer, read_set


@click.command("publish")
@click.option(
    "--to",
    "url",
    required=True,
    metavar="URL",
    help="file:///folder, s3://bucket/path, gs://..., abfs://... (extra [remote], and s3fs, ...).",
)
@click.option("--rollback", is_flag=True, help="Serve the set before the served one again.")
@click.option("--set", "set_id", metavar="ID", help="With --rollback: this set.")
@click.option("--list", "listed", is_flag=True, help="Show the sets there are; * is served.")
@json_option("End with one JSON object.")
@click.pass_obj
def publish_command(
    workspace: Workspace,
    url: str,
    rollback: bool,
    set_id: str | None,
    listed: bool,
    as_json: bool,
) -> None:
    """Publish index, model and blend of this home as one set for `reranker serve --from URL`.

    Files that the store has already are not sent again; the pointer to the set comes last.
    """
    if set_id is not None and not rollback:
        raise click.UsageError("--set goes with --rollback.")
    store = open_store(url)
    if listed:
        _show(store, as_json)
    elif rollback:
        found = roll_back(store, set_id)
        done = Pushed(set=found.id, changed=True)
        echo_result(done, f"{url} serves {found.id} again, from {found.created}.", as_json)
    else:
        done = push(workspace, store, bars)
        sent = f"{done.files:,} files ({done.bytes:,} bytes) were sent"
        text = f"{url} serves {done.set}: {sent}." if done.changed else f"{done.set}: no change."
        echo_result(done, text, as_json)


def _show(store: ObjectStore, as_json: bool) -> None:
    pointer = read_pointer(store)
    served = pointer.set if pointer else None
    rows = []
    for name in store.names(SETS):
        set_id = name.removesuffix(".json")
        row = {"set": set_id, "served": set_id == served}
        try:
            parts = read_set(store, set_id).parts()
            row |= {part: found.version if found else None for part, found in parts.items()}
        except Failure as failure:
            row |= {"problem": failure.message}
        rows.append(row)
    if as_json:
        echo_json({"sets": rows})
        return
    if not rows:
        click.echo("No set yet. Run `reranker publish --to URL`.")
    for row in rows:
        mark = "*" if row.pop("served") else " "
        click.echo(f"{mark} " + "  ".join(f"{name} {value}" for name, value in row.items()))
