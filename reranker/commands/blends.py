"""blends.py: `reranker blends ...` on the command line."""

import getpass
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import click
import msgspec

from indexes.errors import Failure
from indexes.storage import durable
from indexes.workspace import Workspace
from reranker.blends.blend import Blend
from reranker.blends.files import parse, written
from reranker.blends.importance import UNITS, Importance, importances
from reranker.blends.store import BlendStore, StoredBlend
from reranker.commands.output import echo_json, echo_result, json_option
from reranker.commands.shadows import shadow_command

_BY = click.option("--by", default=None, help="Who does it, for the log; default the account.")
_JSON = json_option()
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("blends")
def blends_commands() -> None:
    """Look after the blends: versions that never change, one of them published.

    A BLEND is `name` (its newest version) or `name@version`.
    """


@blends_commands.command("list")
@_JSON
@click.pass_obj
def list_command(workspace: Workspace, as_json: bool) -> None:
    """Every version, newest first; * is published."""
    versions = _store(workspace).listed()
    if as_json:
        echo_json({"blends": versions})
        return
    width = max((len(stored.label) for stored in versions), default=0)
    for stored in versions:
        mark = "*" if stored.published else " "
        advice = {True: "recommended", False: "not recommended", None: ""}[stored.recommended]
        created = f"{_minute(stored.created)}  {stored.author}"
        facts = f"{mark} {stored.label:<{width}}  {stored.kind:<6}  {created}"
        click.echo(f"{facts:<{width + 40}}  {advice:<15}  {stored.note}".rstrip())


@blends_commands.command("show")
@click.argument("blend", required=False)
@_JSON
@click.pass_obj
def show_command(workspace: Workspace, blend: str | None, as_json: bool) -> None:
    """What a blend weighs; default the published one."""
    store = _store(workspace)
    stored, number = _chosen(store, blend)
    if as_json:
        echo_json(stored)
        return
    click.echo(
        f"{stored.name}@{number}, {stored.kind}" + (f": {stored.note}" if stored.note else "")
    )
    for line in _described(stored):
        click.echo(f"  {line}")


@blends_commands.command("diff")
@click.argument("before")
@click.argument("after", required=False)
@_JSON
@click.pass_obj
def diff_command(workspace: Workspace, before: str, after: str | None, as_json: bool) -> None:
    """What differs from BEFORE in AFTER; default AFTER: the published blend."""
    store = _store(workspace)
    lines = store.diff(before, after or _published(store).label)
    echo_result({"diff": lines}, "\n".join(lines) or "no difference", as_json)


@blends_commands.command("publish")
@click.argument("blend")
@_BY
@_JSON
@click.pass_obj
def publish_command(workspace: Workspace, blend: str, by: str | None, as_json: bool) -> None:
    """Serve this blend from now on; a running service takes it up by itself."""
    store = _store(workspace)
    _say_published(store.publish(blend, who=_who(by)), as_json)


@blends_commands.command("rollback")
@_BY
@_JSON
@click.pass_obj
def rollback_command(workspace: Workspace, by: str | None, as_json: bool) -> None:
    """Serve the blend that was published before; again goes one further back."""
    _say_published(_store(workspace).rollback(who=_who(by)), as_json)


@blends_commands.command("export")
@click.argument("blend", required=False)
@click.option("--out", type=_FILE, help="A file instead of the terminal.")
@click.pass_obj
def export_command(workspace: Workspace, blend: str | None, out: Path | None) -> None:
    """The file of a blend, to be edited and imported; default the published one."""
    stored, number = _chosen(_store(workspace), blend)
    data = written(msgspec.structs.replace(stored, version=number))
    if out is None:
        click.echo(data.decode(), nl=False)
    else:
        durable.replace_synced(out, data)
        click.echo(f"{stored.name}@{number} is in {out}.")


@blends_commands.command("import")
@click.argument("file", type=_FILE)
@click.option("--name", help="Another name than the file's.")
@click.option("--publish", is_flag=True, help="Publish it at once.")
@_BY
@_JSON
@click.pass_obj
def import_command(
    workspace: Workspace,
    file: Path,
    name: str | None,
    publish: bool,
    by: str | None,
    as_json: bool,
) -> None:
    """Store a blend from its file as the next version of its name.

    The file's `version` says which version it was made from; where a newer one is stored meanwhile,
    nothing is stored.
    """
    store = _store(workspace)
    blend = parse(file.read_bytes(), str(file))
    if name is not None:
        blend = msgspec.structs.replace(blend, name=name, version=None)
    stored, number = store.save(blend, publish=publish, who=_who(by))
    if as_json:
        echo_json({"name": stored.name, "version": number, "published": publish})
    else:
        how = "published" if publish else f"stored, not published: publish {stored.name}@{number}"
        click.echo(f"{stored.name}@{number} {how}")


@blends_commands.command("log")
@_JSON
@click.pass_obj
def log_command(workspace: Workspace, as_json: bool) -> None:
    """Who did what, newest last, with what changed against the blend published then."""
    entries = _store(workspace).log()
    if as_json:
        echo_json({"log": entries})
        return
    for entry in entries:
        who = f" by {entry.who}" if entry.who else ""
        click.echo(f"{_minute(entry.time)}  {entry.what} {entry.name}@{entry.version}{who}")
        for line in entry.diff:
            click.echo(f"    {line}")


blends_commands.add_command(shadow_command)


def _store(workspace: Workspace) -> BlendStore:
    store = BlendStore(workspace.blends_root)
    with suppress(Failure):  # a damaged one is what `list`, `publish` and `rollback` are for
        store.published_or_default()
    return store


def _published(store: BlendStore) -> StoredBlend:
    published = next((stored for stored in store.listed() if stored.published), None)
    if published is None:
        raise Failure("No blend is published.", hint="Run `reranker blends publish NAME`.")
    return published


def _chosen(store: BlendStore, label: str | None) -> tuple[Blend, int]:
    return store.get(label or _published(store).label)


def _described(blend: Blend) -> Iterator[str]:
    parts = importances(blend)
    width = max(len(part.signal) for part in parts)
    if blend.kind != "linear":
        yield f"{'':<{width}}  {UNITS[blend.kind]}"
    for part in parts:
        yield f"{part.signal:<{width}}  {_counted(blend, part)}".rstrip()
    rest = msgspec.to_builtins(blend)
    for name in ("gate", "segments", "guards", "diversity"):
        if rest.get(name):
            yield f"{name}: {msgspec.json.encode(rest[name]).decode()}"


def _counted(blend: Blend, part: Importance) -> str:
    """A linear signal's weight; else how much the signal counts, and by which inputs."""
    if blend.kind == "linear":
        return f"{part.value:>7.3g}  {blend.signals[part.signal].normalise}"
    form = ".1%" if blend.kind == "trees" else ".3g"
    reads = ", ".join(f"{name} {value:{form}}" for name, value in part.reads.items() if value)
    times = f" (times {part.weight:g})" if part.weight != 1 else ""
    return f"{part.value:>7{form}}  {reads or 'never read'}{times}"


def _who(by: str | None) -> str:
    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        return f"uid {os.getuid()}"


def _say_published(stored: StoredBlend, as_json: bool) -> None:
    echo_result(
        stored, f"{stored.label} is published; a running service takes it up by itself.", as_json
    )


def _minute(time: str) -> str:
    try:
        return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M}"
    except ValueError:
        return time
