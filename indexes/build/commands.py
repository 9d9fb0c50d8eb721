"""commands.py: `reranker rebuild` and `reranker index ...` on the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from indexes.build.apply_items import apply_items
from indexes.build.item_vectors import OPTION, named_files
from indexes.build.part_processes import encode_in_processes
from indexes.build.rebuild import Summary, rebuild
from indexes.build.vector_parts import Share, encode_part, parsed_share
from indexes.encoders.text_encoder import unknown_warning
from indexes.errors import Failure
from indexes.items.index import published_version
from indexes.modalities.entries import entries_of
from indexes.progress import bars
from indexes.storage.versions import Version, VersionStore
from indexes.workspace import Workspace

_LINES_SHOWN = 20


_ENCODING = click.option(
    "--encoding", help="The file's encoding, where it is not found out: windows-1252."
)


class _ShareType(click.ParamType[Share]):
    """k/n on the command line."""

    name = "k/n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Share:
        try:
            return parsed_share(str(value))
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


@click.command("encode")
@click.option(
    "--items",
    "source",
    required=True,
    type=click.Path(path_type=Path),
    help="The catalogue, as for `reranker rebuild`: the same file for every part.",
)
@click.option(
    "--part", required=True, type=_ShareType(), help="Which share of it: 3/16 is the third of 16."
)
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that gathers all parts.",
)
@_ENCODING
@click.option(
    "--besides",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A vector cache, <home>/index/vectors/*.bin, whose texts are left out.",
)
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object.")
@click.pass_obj
def encode_command(
    workspace: Workspace,
    source: Path,
    part: Share,
    folder: Path,
    encoding: str | None,
    besides: Path | None,
    as_json: bool,
) -> None:
    """Encode one share of a catalogue, on any machine, for `reranker rebuild --vectors`.

    Needs the settings of the home (encoder.*, rebuild.template, rebuild.columns), and nothing else
    of it. Killed, the same command goes on where it was.
    """
    done = encode_part(workspace, source, part, folder, bars, encoding=encoding, besides=besides)
    if as_json:
        click.echo(msgspec.json.encode(done).decode())
    else:
        click.echo(
            f"{done.file}: {done.texts:,} texts, {done.encoded:,} encoded now; "
            f"{done.skipped:,} lines could not be used."
        )


def _driver(
    workspace: Workspace,
    source: Path,
    encoding: str | None,
    processes: int | None,
    ray: str | None,
    parts: int | None,
) -> Callable[[Path, Path], None] | None:
    """What encodes parts before the rebuild reads; None: the rebuild encodes by itself."""
    if processes is not None and ray is not None:
        raise click.UsageError("--processes and --ray exclude each other.")
    if parts is not None and ray is None:
        raise click.UsageError("--parts goes with --ray.")
    if processes is not None:

        def in_processes(folder: Path, cache: Path) -> None:
            encode_in_processes(
                workspace, source, folder, processes, bars, encoding=encoding, besides=cache
            )

        return in_processes
    if ray is not None:

        def on_ray(folder: Path, cache: Path) -> None:
            from indexes.build.part_ray import encode_on_ray  # of an extra

            encode_on_ray(
                workspace, source, folder, ray, parts, bars, encoding=encoding, besides=cache
            )

        return on_ray
    return None


@click.command("rebuild")
@click.option(
    "--items",
    "source",
    required=True,
    type=click.Path(path_type=Path),
    help="The catalogue: .jsonl, .json, .csv, .tsv or .parquet, gzipped or not.",
)
@click.option("--force", is_flag=True, help="Publish even when a guard would refuse.")
@click.option("--strict", is_flag=True, help="Reject a line for any value that cannot be read.")
@_ENCODING
@click.option(
    "--vectors",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of all parts that `reranker encode` made, of this catalogue.",
)
@click.option(
    OPTION,
    "item_vectors",
    metavar="NAME=FILE",
    multiple=True,
    help="Vectors of items that no text made (image, audio, ...): Parquet with `id` and `vector`, "
    "or x.npy beside x.ids.txt. Once joined they stay until another FILE, or none (NAME=), is "
    "named. Repeatable.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Encode in so many processes of this machine; what is encoded already is not again.",
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help='Encode on a Ray cluster ("auto", "ray://host:10001"); the home has to be on a file '
    "system that its machines share.",
)
@click.option(
    "--parts",
    type=click.IntRange(min=1),
    help="Into how many parts --ray cuts the catalogue; default: its processors.",
)
@click.option("--json", "as_json", is_flag=True, help="End with the summary as one JSON object.")
@click.pass_obj
def rebuild_command(
    workspace: Workspace,
    source: Path,
    force: bool,
    strict: bool,
    encoding: str | None,
    vectors: Path | None,
    item_vectors: tuple[str, ...],
    processes: int | None,
    ray: str | None,
    parts: int | None,
    as_json: bool,
) -> None:
    """Build the index from a catalogue and publish it.

    Full the first time; afterwards only changed texts are encoded. An interrupted rebuild resumes.
    The served version stays until the new one is complete, checked and on the disk.
    """
    drive = _driver(workspace, source, encoding, processes, ray, parts)
    summary = rebuild(
        workspace,
        source,
        force=force,
        strict=strict,
        encoding=encoding,
        vectors=vectors,
        drive=drive,
        item_vectors=named_files(item_vectors, OPTION),
    )
    _show_rejected(summary, workspace)
    for note in summary.notes:
        click.echo(note, err=True)
    if warning := unknown_warning(round(summary.unknown_tokens * 10**6), 10**6):
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())
    else:
        click.echo(_table(summary))


def _show_rejected(summary: Summary, workspace: Workspace) -> None:
    for bad in summary.bad[:_LINES_SHOWN]:
        click.echo(f"line {bad['line']}: {bad['reason']}", err=True)
    if summary.skipped > _LINES_SHOWN:
        path = workspace.index_root / "rejected.jsonl"
        click.echo(f"... {summary.skipped - _LINES_SHOWN} more in {path}", err=True)


def _images(summary: Summary) -> list[str]:
    """What became of the items' pictures."""
    images = summary.images
    if images is None:
        return []
    left_out = sum(one.count for one in images.left_out.values())
    return [
        f"  pictures {images.named:>10,} are named: {images.encoded:,} encoded, "
        f"{images.reused:,} known already, {left_out:,} left out"
    ]


def _table(summary: Summary) -> str:
    state = "published" if summary.changed else "unchanged, nothing to publish"
    joined = (
        f"  {name:<8} {one.items:>10,} items have a vector of {one.dimensions}, {one.without:,} "
        f"have none; {one.unknown:,} vectors are of no item, {one.bad:,} are no use"
        f"{' (kept as they were)' if one.reused else ''}"
        for name, one in summary.item_vectors.items()
    )
    per_second = f" ({summary.encoded / summary.seconds:,.0f} items/s)" if summary.encoded else ""
    return "\n".join(
        (
            f"index {summary.version} {state}",
            f"  read     {summary.read:>10,}",
            f"  encoded  {summary.encoded:>10,}{per_second}",
            f"  reused   {summary.reused:>10,}",
            f"  removed  {summary.removed:>10,}",
            f"  skipped  {summary.skipped:>10,}",
            f"  items    {summary.items:>10,}",
            *joined,
            *_images(summary),
            f"  seconds  {summary.seconds:>10,.1f}",
        )
    )


@click.group("items")
def items_commands() -> None:
    """Change items between two rebuilds."""


@items_commands.command("apply")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object as the last line.")
@click.pass_obj
def apply_command(workspace: Workspace, source: Path, as_json: bool) -> int:
    """Apply partial items of a .jsonl, .csv or .parquet file, gzipped or not, as POST /items does.

    Each line has an `id` and the fields that change; "removed": true takes the item away. A running
    service serves them within two seconds. Exit status 1 where lines were rejected.
    """
    applied = apply_items(workspace, source)
    for bad in applied.rejected[:_LINES_SHOWN]:
        click.echo(f"line {bad['line']}: {bad['reason']}", err=True)
    if as_json:
        click.echo(msgspec.json.encode(applied).decode())
    else:
        click.echo(
            f"{applied.accepted:,} items are changed, {applied.duplicates:,} of them said nothing "
            f"new; {applied.rejected_count:,} lines were rejected."
        )
    return int(applied.rejected_count > 0)


@click.group("index")
def index_commands() -> None:
    """List, verify or roll back the versions of the index."""


@index_commands.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object as the last line.")
@click.pass_obj
def list_command(workspace: Workspace, as_json: bool) -> None:
    """Show the versions there are; * marks the served one."""
    store = VersionStore(workspace.index_root)
    current = store.current()
    rows = [_row(version, current) for version in store.versions()]
    if as_json:
        click.echo(msgspec.json.encode({"versions": rows}).decode())
        return
    if not rows:
        click.echo("No version yet. Run `reranker rebuild --items FILE`.")
    for row in rows:
        mark = "*" if row["current"] else " "
        if "items" in row:
            what = f"{row['items']:>12,} items  {row['faiss']:<10} {row['model']}"
            what += "".join(
                f"  {name} {one['items']:,}" for name, one in row["item_vectors"].items()
            )
        else:
            what = "damaged: its manifest cannot be read"
        click.echo(f"{mark} {row['version']}  {what}")


def _row(version: Version, current: Version | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "version": version.id,
        "current": current is not None and current.id == version.id,
    }
    if version.manifest:
        about = version.manifest.about
        row |= {
            "created": version.manifest.created,
            "items": about["items"],
            "faiss": about["factory"],
            "model": about["model"],
            "fingerprint": about["fingerprint"],
            "template": about["template"],
            "item_vectors": {
                name: {"items": entry.items, "dimensions": entry.dimensions}
                for name, entry in entries_of(about).items()
            },
        }
    return row


@index_commands.command("verify")
@click.argument("version_id", required=False)
@click.option("--all", "every", is_flag=True, help="Every version, not only the served one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object as the last line.")
@click.pass_obj
def verify_command(workspace: Workspace, version_id: str | None, every: bool, as_json: bool) -> int:
    """Hash every file of a version again and compare with its manifest; exit 1 on damage."""
    store = VersionStore(workspace.index_root)
    checked = {
        version.id: store.verify(version) for version in _chosen(workspace, version_id, every)
    }
    for name, problems in checked.items():
        click.echo(f"{name}  {'damaged' if problems else 'sound'}", err=as_json)
        for problem in problems:
            click.echo(f"  {problem}", err=True)
    damaged = [name for name, problems in checked.items() if problems]
    if as_json:
        click.echo(msgspec.json.encode({"versions": checked, "sound": not damaged}).decode())
        return int(bool(damaged))  # the findings stay the last line
    if damaged:
        raise Failure(
            f"Damaged: {', '.join(damaged)}.",
            hint="Run `reranker index rollback` to serve the one before, or `reranker rebuild`.",
        )
    return 0


def _chosen(workspace: Workspace, version_id: str | None, every: bool) -> list[Version]:
    store = VersionStore(workspace.index_root)
    if every:
        return store.versions()
    if version_id:
        return [store.get(version_id)]
    return [published_version(workspace, verified=False)]


@index_commands.command("rollback")
@click.option("--to", "version_id", help="A version from `reranker index list`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object as the last line.")
@click.pass_obj
def rollback_command(workspace: Workspace, version_id: str | None, as_json: bool) -> None:
    """Serve the version before the current one (or --to ID) again, after verifying it."""
    version = VersionStore(workspace.index_root).rollback(version_id)
    click.echo(f"index {version.id} is served now", err=as_json)
    if as_json:
        click.echo(msgspec.json.encode({"version": version.id}).decode())
