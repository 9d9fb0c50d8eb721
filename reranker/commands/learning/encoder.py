"""encoder.py: `reranker encoder ...` on the command line: text encoders adapted to the shop."""

from typing import Any, Final

import click

from indexes.encoders.adapted import encoder_store
from indexes.encoders.settings import EncoderSettings
from indexes.errors import Failure
from indexes.storage.versions import Version, VersionStore, exclusive
from indexes.workspace import Workspace
from reranker.commands.output import echo_json, echo_result, json_option

_ORIGINAL: Final = "original"
_THEN: Final = (
    "`reranker rebuild` encodes with it; `reranker index rollback` serves the index before at once."
)


@click.group("encoder")
def encoder_commands() -> None:
    """List, verify or roll back the text encoders that `reranker adapt` published."""


@encoder_commands.command("list")
@json_option()
@click.pass_obj
def list_command(workspace: Workspace, as_json: bool) -> None:
    """Show the encoders there are, and what they gained; * marks what rebuilds encode with."""
    store = encoder_store(workspace.home)
    current = store.current()
    model = workspace.section(EncoderSettings).model
    rows: list[dict[str, Any]] = [
        {"version": _ORIGINAL, "current": current is None, "base": model, "gain": None},
        *(_row(version, current) for version in store.versions()),
    ]
    lines = [
        f"{'*' if row['current'] else ' '} {row['version']:<24}{row['base'] or 'damaged':<12}"
        + ("" if row["gain"] is None else f"NDCG@10 by text alone {row['gain']:+.4f}")
        for row in rows
    ]
    echo_result({"versions": rows}, "\n".join(lines), as_json)


def _row(version: Version, current: Version | None) -> dict[str, Any]:
    report = version.about.get("report", {})
    gains = report.get("of_original") or report.get("gains") or {}
    gain = gains.get("all", {}).get("difference", {}).get("mean")
    served = current is not None and current.id == version.id
    base = version.about.get("base")
    return {"version": version.id, "current": served, "base": base, "gain": gain}


@encoder_commands.command("verify")
@json_option()
@click.pass_obj
def verify_command(workspace: Workspace, as_json: bool) -> int:
    """Hash every file of every encoder again; exit 1 on damage."""
    store = encoder_store(workspace.home)
    checked = {version.id: store.verify(version) for version in store.versions()}
    for name, problems in checked.items():
        click.echo(f"{name}  {'; '.join(problems) or 'sound'}", err=as_json)
    damaged = any(checked.values())
    if as_json:
        echo_json({"versions": checked, "sound": not damaged})
    return int(damaged)


@encoder_commands.command("rollback")
@click.option("--to", "version_id", help='An encoder from `reranker encoder list`, or "original".')
@json_option()
@click.pass_obj
def rollback_command(workspace: Workspace, version_id: str | None, as_json: bool) -> None:
    """Encode the next rebuild with the encoder before the current one, or --to ID, verified.

    Before the first one stands the model of the settings: "original".
    """
    store = encoder_store(workspace.home)
    with exclusive(store.root / "lock", "adapt"):
        name = _rolled_back(store, version_id)
    what = "the model of the settings" if name == _ORIGINAL else f"encoder {name}"
    echo_result({"version": name}, f"{what} is in use again: {_THEN}", as_json)


def _rolled_back(store: VersionStore, version_id: str | None) -> str:
    current = store.current()
    if version_id is None and current is None:
        raise Failure(
            "The model of the settings is in use, and none was before it.",
            hint="Name an encoder of `reranker encoder list` with --to.",
        )
    if version_id is None and current is not None and not store.served_before(current.id):
        version_id = _ORIGINAL
    if version_id == _ORIGINAL:
        store.withdraw()
        return _ORIGINAL
    return store.rollback(version_id).id
