"""backups.py: `reranker backup` and `reranker restore` on the command line."""

from pathlib import Path
from typing import Any

import click

from indexes.workspace import Workspace
from reranker.backups.backup import back_up
from reranker.backups.contents import Backup
from reranker.backups.restore import restore
from reranker.commands.output import echo_result, json_option
from reranker.events.settings import HistorySettings

_FOLDER = click.Path(path_type=Path)


@click.command("backup")
@click.argument("folder", type=_FOLDER)
@click.option(
    "--no-keys",
    is_flag=True,
    help="Without <home>/pseudonyms and <home>/keys: back them up apart, or nobody is recognised.",
)
@json_option()
@click.pass_obj
def backup_command(workspace: Workspace, folder: Path, no_keys: bool, as_json: bool) -> None:
    """Copy the home to a new FOLDER and check the copy; a service need not stop.

    Index, models and blends are those that were served at one moment, with their other versions;
    the events are those of one moment, too. FOLDER is there only when all of it is.
    """
    backup = back_up(workspace.home, folder, keys=not no_keys)
    for what in backup.left_out:
        click.echo(f"warning: left out: {what}", err=True)
    if (settings := workspace.section(HistorySettings)).url:
        from reranker.histories.redis_nodes import read_url

        where = read_url(settings.url).shown
        click.echo(f"warning: left out: histories, which are kept in {where}", err=True)
    keys = "with its keys: keep it as they are kept" if backup.keys else "without its keys"
    echo_result(_facts(backup, folder), f"{workspace.home}: {_said(backup)}, {keys}.", as_json)


@click.command("restore")
@click.argument("folder", type=_FOLDER)
@json_option()
@click.pass_obj
def restore_command(workspace: Workspace, folder: Path, as_json: bool) -> None:
    """Check the backup in FOLDER and make a home of it, named by --home: a new or empty folder."""
    backup = restore(folder, workspace.home)
    said = f"{workspace.home}: {_said(backup)}, as of {backup.created}."
    if not backup.keys:
        said += " Put its keys back (pseudonyms/, keys/) before it is served."
    echo_result(_facts(backup, folder), said, as_json)


def _said(backup: Backup) -> str:
    served = ", ".join(f"{name} {version}" for name, version in _served(backup).items())
    return f"{len(backup.files):,} files, {backup.events:,} events, {served or 'nothing served'}"


def _served(backup: Backup) -> dict[str, str]:
    return {link.partition("/")[0]: Path(to).name for link, to in backup.links.items()}


def _facts(backup: Backup, folder: Path) -> dict[str, Any]:
    return {
        "backup": str(folder.absolute()),
        "release": backup.release,
        "created": backup.created,
        "files": len(backup.files),
        "bytes": sum(file.bytes for file in backup.files.values()),
        "events": backup.events,
        "versions": _served(backup),
        "keys": backup.keys,
        "left_out": backup.left_out,
    }
