"""event_commands.py: `reranker events import`, `export` and `forget` on the command line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from tqdm import tqdm

from indexes.bad_lines import BadLines
from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.event_import import Importer, ImportSummary
from reranker.events import as_sent
from reranker.expiry import expire
from reranker.forgetting import ForgetProof, forget
from reranker.histories import Histories, Shopper
from reranker.history_store import open_histories
from reranker.pseudonym_keys import PseudonymKeys
from reranker.ranking_files import (
    LoggedShopper,
    rankings_folder,
)

_JSON = click.option("--json", "as_json", is_flag=True, help="End with one JSON object.")
_SESSION = click.option("--session", is_flag=True, help="The id is an anonymous session's.")


@click.group("events")
def events_commands() -> None:
    """Import what shoppers did; forget what is old."""


@events_commands.command("import")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--max-bad-share",
    type=click.FloatRange(0, 1),
    help="Share of bad lines that is let pass; default events.max_bad_share (0.01).",
)
@_JSON
@click.pass_obj
def import_command(
    workspace: Workspace, source: Path, max_bad_share: float | None, as_json: bool
) -> None:
    """Add the events of a .jsonl, .csv or .parquet file, gzipped or not.

    A second run of the same file adds nothing; after a crash it adds the rest.
    """
    importer = Importer(workspace, source, _bars)
    with _opened(workspace) as histories:
        try:
            summary = importer.run(histories, max_bad_share)
        finally:
            _show(importer.bad)
    click.echo(msgspec.json.encode(summary).decode() if as_json else _table(summary))


@events_commands.command("expire")
@_JSON
@click.pass_obj
def expire_command(workspace: Workspace, as_json: bool) -> None:
    """Delete events older than history.days and logged rankings older than rankings.days.

    On the disk too. A running service does it by itself, once in history.expire_hours.
    """
    with _opened(workspace) as histories:
        done = expire(workspace, histories)
    said = (
        f"{done.events:,} events and {done.days_of_rankings:,} days of logged rankings were too "
        f"old and are deleted, with {done.leftovers:,} leftovers of commands that were killed."
    )
    click.echo(msgspec.json.encode(done).decode() if as_json else said)


@click.command("export")
@click.argument("user")
@_SESSION
@click.option("--events-only", is_flag=True, help="No rankings: lines that an import reads.")
@click.pass_obj
def export_command(workspace: Workspace, user: str, session: bool, events_only: bool) -> None:
    """Print all that is kept of a user as JSON lines: events, then rankings, oldest first."""
    found = False
    sessions = set()
    with _opened(workspace) as histories:
        for event in histories.export(**_who(user, session)):
            found = True
            sessions.add(event.session or "")
            click.echo(msgspec.json.encode(as_sent(event)).decode())
    logged = LoggedShopper(
        rankings_folder(workspace),
        PseudonymKeys(workspace.home).read(),
        **_who(user, session),
        sessions=sessions - {""},
    )
    for row in () if events_only else logged.lines():
        found = True
        click.echo(msgspec.json.encode(row).decode())
    if not found:
        raise _nobody(user, session)


@click.command("forget")
@click.argument("user")
@_SESSION
@_JSON
@click.pass_obj
def forget_command(workspace: Workspace, user: str, session: bool, as_json: bool) -> None:
    """Delete a user, the sessions that became theirs, and every trace of both on the disk."""
    with _opened(workspace) as histories:
        who = _who(user, session)
        proof = forget(workspace, histories, Shopper(who.get("user"), who.get("session")))
    if not proof.known:
        raise _nobody(user, session)
    click.echo(msgspec.json.encode(proof).decode() if as_json else _forgotten(proof))


def _forgotten(proof: ForgetProof) -> str:
    counts = (
        f"{proof.events:,} events, {proof.sessions:,} sessions and {proof.rankings:,} logged "
        "rankings"
    )
    searched = proof.searched
    lines = [f"{proof.user}: {counts} are deleted."]
    if not proof.name_searched:
        lines.append("The id is too short to be searched for in the files; its pseudonym was.")
    if searched.found:
        lines.append(f"The same characters are also in {', '.join(searched.found)}.")
    else:
        lines.append(f"Searched {searched.files:,} files ({searched.bytes:,} bytes): not found.")
    for model in proof.models:
        if model.learned_from:
            lines.append(
                f"Model {model.version} ({model.trained}) learned from these events, among others; "
                "it holds no id of theirs. `reranker train` makes one without them."
            )
    return "\n".join([*lines, f"receipt {proof.receipt}"])


def _who(name: str, session: bool) -> dict[str, str]:
    return {"session" if session else "user": name.strip()}


def _nobody(name: str, session: bool) -> Failure:
    kind, other = ("session", "without") if session else ("user", "with")
    return Failure(
        f"No event and no ranking of the {kind} {name!r} is kept.",
        hint=f"Is it the id of a {'user' if session else 'session'}? Then try {other} --session.",
    )


@contextmanager
def _opened(workspace: Workspace) -> Iterator[Histories]:
    histories = open_histories(workspace)
    try:
        yield histories
    finally:
        histories.close()


@contextmanager
def _bars(stage: str, total: int | None) -> Iterator[Callable[[int], object]]:
    with tqdm(desc=f"{stage:<10}", total=total, unit=" events", disable=None) as bar:
        yield bar.update


def _show(bad: BadLines) -> None:
    for line, reason in bad.first:
        click.echo(f"{bad.path} line {line}: {reason}", err=True)
    if bad.count > len(bad.first):
        click.echo(f"... {bad.count - len(bad.first):,} more bad lines", err=True)


def _table(done: ImportSummary) -> str:
    """Every step with its count; steps that found nothing are left out."""
    fields = ", ".join(f"{name} {count:,}" for name, count in done.rejected_by_field.items())
    dropped = "left out" if done.bots_dropped else "kept; events.drop_bots leaves them out"
    names = ", ".join(f"{bot.shopper} ({bot.events_in_a_minute:,})" for bot in done.fastest[:3])
    types = ", ".join(f"{name} {count:,}" for name, count in done.types.items())
    speed = f"{done.read / done.seconds:,.0f} events/s" if done.seconds else ""
    rows: list[tuple[str, int, str]] = [
        ("read", done.read, types),
        ("rejected", done.rejected, fields),
        ("no consent", done.without_consent, "personalize is false: not kept"),
        ("out of order", done.out_of_order, "sorted in"),
        ("ahead of clock", done.ahead_of_clock, "within events.future_minutes"),
        ("without a zone", done.without_zone, "taken as UTC"),
        ("duplicates", done.duplicates, "the same id before in this file"),
        ("bot-like", done.bots, f"{done.bot_events:,} events, {dropped}: {names}"),
        ("unknown item", done.unknown_item_events or 0, _unknown(done)),
        ("already kept", done.already_kept, "from an earlier import or POST /events"),
        ("too old", done.too_old, "beyond history.events_per_user or history.days"),
        ("trimmed", done.trimmed, "the oldest of full histories"),
        ("merged", done.merged, "from sessions to their users"),
        ("stored", done.stored, ""),
        ("users", done.users, ""),
        ("sessions", done.anonymous_sessions, "without a user"),
        ("visits", done.visits, "split at silences of events.session_minutes"),
    ]
    shown = [row for row in rows if row[1] or row[0] in ("read", "rejected", "stored")]
    lines = [f"  {name:<15}{count:>12,}  {note}".rstrip() for name, count, note in shown]
    if done.ignored_columns:
        lines.append(f"  ignored columns: {', '.join(done.ignored_columns)}")
    if done.unknown_item_events is None:
        lines.append("  no index is published: items were not looked up")
    return "\n".join((*lines, f"  {'seconds':<15}{done.seconds:>12,.1f}  {speed}"))


def _unknown(done: ImportSummary) -> str:
    return f"{done.unknown_items or 0:,} items are not in the published index; kept, and marked"
