"""events.py: `reranker events import`, `export` and `forget` on the command line."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import click
import msgspec
from tqdm import tqdm

from indexes.errors import Failure
from indexes.names import BadName, normalised, read_name
from indexes.workspace import Workspace
from reranker.attributes.attributes import Attributes
from reranker.commands.finite_range import FiniteRange
from reranker.commands.input_files import InputFile
from reranker.commands.output import echo_json, echo_result, json_option, show_bad
from reranker.events.events import HistoryEvent, as_sent
from reranker.feedback.files import rankings_folder
from reranker.feedback.imported_rankings import ImportedRankings
from reranker.feedback.logged_shopper import LoggedShopper
from reranker.histories.histories import Shopper
from reranker.histories.store import open_histories
from reranker.ingestion.importer import Importer, ImportSummary
from reranker.ingestion.log_reading import LogReading
from reranker.log_formats.column_maps import read_columns
from reranker.log_formats.formats import FORMATS, NAMES
from reranker.privacy.erasure import Searched
from reranker.privacy.forget import ForgetProof, forget
from reranker.privacy.retention import expire
from reranker.privacy.rotation import rotate
from reranker.pseudonyms.keys import PseudonymKeys

_JSON = json_option("End with one JSON object.")
_SESSION = click.option("--session", is_flag=True, help="The id is an anonymous session's.")


@click.group("events")
def events_commands() -> None:
    """Import what shoppers did; forget what is old."""


@events_commands.command("import")
@click.argument("source", metavar="FILE", type=InputFile())
@click.option(
    "--format",
    "format_name",
    type=click.Choice(NAMES),
    help="What the file is; default: told by its first rows, else events as in docs/events.md.",
)
@click.option(
    "--map",
    "columns",
    metavar="FIELD=COLUMN,...",
    multiple=True,
    help="Which column is which field: user=customer_id,item=sku,type==purchase (== for one value "
    "in every line). Repeatable.",
)
@click.option(
    "--max-bad-share",
    type=FiniteRange(0, 1),
    help="Share of bad lines that is let pass; default events.max_bad_share (0.01).",
)
@_JSON
@click.pass_obj
def import_command(
    workspace: Workspace,
    source: Path,
    format_name: str | None,
    columns: tuple[str, ...],
    max_bad_share: float | None,
    as_json: bool,
) -> None:
    """Add the events of a .jsonl, .csv or .parquet file, gzipped or not.

    Logs of Metarank, UBI, GA4, Google Retail, Retailrocket, REES46, Online Retail and Instacart are
    known by their columns (docs/importing-logs.md); what they say of answers is logged as rankings,
    for `reranker requests from-events`. A second run of the same file adds nothing; after a crash
    it adds the rest.
    """
    log = LogReading.of(
        workspace, source, format_name, read_columns(columns), ImportedRankings(workspace)
    )
    importer = Importer(workspace, source, _bars, log)
    with closing(open_histories(workspace)) as histories:
        try:
            summary = importer.run(histories, max_bad_share)
        finally:
            show_bad(importer.bad)
    for warning in summary.warnings if as_json else ():
        click.echo(f"warning: {warning}", err=True)
    echo_result(summary, _table(summary), as_json)


@events_commands.command("expire")
@_JSON
@click.pass_obj
def expire_command(workspace: Workspace, as_json: bool) -> None:
    """Delete events older than history.days and logged rankings older than rankings.days.

    On the disk too. A running service does it by itself, once in history.expire_hours.
    """
    with closing(open_histories(workspace)) as histories:
        expired = expire(workspace, histories)
    text = (
        f"{expired.events:,} events and {expired.days_of_rankings:,} days of logged rankings were "
        f"too old and are deleted, with {expired.leftovers:,} leftovers of commands that were "
        "killed."
    )
    echo_result(expired, text, as_json)


@events_commands.command("move")
@click.option(
    "--to",
    "url",
    required=True,
    metavar="URL",
    help='The Redis that takes the histories, as history.url: "redis://host:6379/0".',
)
@_JSON
@click.pass_obj
def move_command(workspace: Workspace, url: str, as_json: bool) -> None:
    """Copy the histories from the home's file to a Redis, and compare both.

    Killed, it goes on where it was; a later run adds what came meanwhile. Exit status 1 where some
    shopper's history differs at the end.
    """
    from reranker.ingestion.moving import move  # of an extra

    moved = move(workspace, url, _bars)
    text = (
        f"{moved.shoppers:,} shoppers, {moved.sessions:,} sessions with a user, {moved.events:,} "
        f"events in {moved.seconds:,.1f} s; {moved.added:,} were not there before. "
    )
    text += (
        f"{moved.different:,} histories differ: events came meanwhile, or the Redis had more; run "
        "it again once nothing writes to the file."
        if moved.different
        else "Both hold the same. Set history.url everywhere; the file is no longer read then: "
        "delete <home>/events when the service answers from the Redis."
    )
    echo_result(moved, text, as_json)
    if moved.different:
        click.get_current_context().exit(1)


@click.command("export")
@click.argument("user")
@_SESSION
@click.option("--events-only", is_flag=True, help="No rankings: lines that an import reads.")
@click.pass_obj
def export_command(workspace: Workspace, user: str, session: bool, events_only: bool) -> None:
    """Print all that is kept of a user as JSON lines: events, then rankings, oldest first."""
    printed = False
    sessions = set()
    who, names = _who(user, session), PseudonymKeys(workspace.home).known()
    with closing(open_histories(workspace)) as histories:
        for shopper in histories.stored_as(who):
            for event in histories.export(*shopper):
                printed = True
                sessions.add(event.session or "")
                echo_json(as_sent(_named(event, who)))
    attributes = {} if events_only else Attributes(workspace.home).of(who.user)
    if attributes:
        printed = True
        echo_json({"user": normalised(user), "attributes": attributes})
    logged = LoggedShopper(rankings_folder(workspace), names, *who, sessions=sessions - {""})
    for row in () if events_only else logged.lines():
        printed = True
        echo_json(row)
    if not printed:
        raise _nobody(user, session)


@click.command("forget")
@click.argument("user")
@_SESSION
@_JSON
@click.pass_obj
def forget_command(workspace: Workspace, user: str, session: bool, as_json: bool) -> None:
    """Delete a user, the sessions that became theirs, and every trace of both on the disk.

    Everything is read again. The exit status is 1 where the answer is not `verified`.
    """
    with closing(open_histories(workspace)) as histories:
        proof = forget(workspace, histories, _who(user, session))
    if not proof.known and not proof.searched.found:
        raise _nobody(user, session, proof.searched.unread)
    echo_result(proof, _forgotten(proof), as_json)
    if not proof.verified:  # a script must not take it for done
        click.get_current_context().exit(1)


def _forgotten(proof: ForgetProof) -> str:
    counts = (
        f"{proof.events:,} events, {proof.sessions:,} sessions and {proof.rankings:,} logged "
        "rankings"
    )
    if proof.attributes:
        counts += f", and {proof.attributes:,} attributes,"
    searched = proof.searched
    lines = [f"{proof.user}: {counts} are deleted."]
    if proof.searched_as == "values":
        lines.append(
            "The id is short, a number or a word of the formats: it was looked for as a whole user "
            "or session in JSON and tables, its pseudonym everywhere."
        )
    lines += _search_lines(searched)
    for model in proof.models:
        if model.learned_from:
            lines.append(
                f"Model {model.version} ({model.trained}) learned from these events, among others; "
                "it holds no id of theirs. `reranker train` makes one without them."
            )
    return "\n".join([*lines, f"receipt {proof.receipt}"])


def _search_lines(searched: Searched) -> list[str]:
    lines = []
    for where in searched.found:
        numbers = ", ".join(map(str, searched.lines.get(where, [])))
        at = f" (line {numbers})" if numbers else ""
        lines.append(f"NOT VERIFIED: the same characters are also in {where}{at}.")
    if searched.found:
        lines.append(
            "Files that you put there are not changed: delete those lines, or the files, and run "
            "`reranker forget` again."
        )
    lines += [f"NOT VERIFIED: {where} {why}." for where, why in searched.unread.items()]
    if not lines:
        lines.append(f"Searched {searched.files:,} files ({searched.bytes:,} bytes): not found.")
    return lines


def _who(name: str, session: bool) -> Shopper:
    """Whose id this is; as it is given, for what an earlier release may have kept so."""
    try:
        if read_name("session" if session else "user", name) is None:
            raise BadName("the id is empty")
    except BadName as error:
        raise Failure(f"{error}.", hint="Name a user, or with --session a session.") from None
    return Shopper(None, name) if session else Shopper(name, None)


def _named(event: HistoryEvent, who: Shopper) -> HistoryEvent:
    """An event of a user, with the name that was asked for; of a session, with its own."""
    user = None if who.user is None else normalised(who.user)
    session = event.session if who.session is None else normalised(who.session)
    return msgspec.structs.replace(event, user=user, session=session)


def _nobody(name: str, session: bool, unread: Mapping[str, str] | None = None) -> Failure:
    kind, other = ("session", "without") if session else ("user", "with")
    not_read = "".join(f" {where} {why}." for where, why in (unread or {}).items())
    return Failure(
        f"No event and no ranking of the {kind} {name!r} is kept.{not_read}",
        hint=f"Is it the id of a {'user' if session else 'session'}? Then try {other} --session.",
    )


@contextmanager
def _bars(stage: str, total: int | None) -> Iterator[Callable[[int], object]]:
    with tqdm(desc=f"{stage:<10}", total=total, unit=" events", disable=None) as bar:
        yield bar.update


def _table(summary: ImportSummary) -> str:
    """Every step with its count; steps that found nothing are left out."""
    fields = ", ".join(f"{name} {count:,}" for name, count in summary.rejected_by_field.items())
    dropped = "left out" if summary.bots_dropped else "kept; events.drop_bots leaves them out"
    names = ", ".join(f"{bot.shopper} ({bot.events_in_a_minute:,})" for bot in summary.fastest[:3])
    types = ", ".join(f"{name} {count:,}" for name, count in summary.types.items())
    speed = f"{summary.read / summary.seconds:,.0f} events/s" if summary.seconds else ""
    rows: list[tuple[str, int, str]] = [
        ("read", summary.read, types),
        ("rejected", summary.rejected, fields),
        ("no consent", summary.without_consent, "personalize is false: not kept"),
        ("null ids", summary.null_ids, "such as null: taken for absent (events.drop_null_ids)"),
        ("out of order", summary.out_of_order, "sorted in"),
        ("ahead of clock", summary.ahead_of_clock, "within times.future_minutes"),
        ("without a zone", summary.without_zone, "taken as UTC"),
        ("duplicates", summary.duplicates, "the same shopper, id and content before in this file"),
        ("conflicts", summary.conflicts, _conflict(summary)),
        ("bot-like", summary.bots, f"{summary.bot_events:,} events, {dropped}: {names}"),
        ("unknown item", summary.unknown_item_events or 0, _unknown(summary)),
        ("already kept", summary.already_kept, "from an earlier import or POST /events"),
        ("passed over", sum(summary.passed_over.values()), _passed(summary)),
        ("too old", summary.too_old, "beyond history.events_per_user or history.days"),
        ("trimmed", summary.trimmed, "the oldest of full histories"),
        ("merged", summary.merged, "from sessions to their users"),
        ("stored", summary.stored, ""),
        ("rankings", summary.rankings, "logged: `reranker requests from-events` makes requests"),
        ("logged before", summary.rankings_already_logged, "rankings of an earlier import"),
        ("no ids", summary.rankings_by_number, "rankings of document numbers: not kept"),
        ("attributes", summary.attributes, "users of whom something is known beside events"),
        ("users", summary.users, ""),
        ("sessions", summary.anonymous_sessions, "without a user"),
        ("visits", summary.visits, "split at silences of events.session_minutes"),
    ]
    shown = [row for row in rows if row[1] or row[0] in ("read", "rejected", "stored")]
    lines = [f"  {name:<15}{count:>12,}  {note}".rstrip() for name, count, note in shown]
    if format_ := FORMATS.get(summary.format):
        lines.insert(0, f"  {format_.title} (--format {format_.name}): {format_.meaning}")
    if summary.ignored_columns:
        lines.append(f"  ignored columns: {', '.join(summary.ignored_columns)}")
    lines += [f"  warning: {warning}" for warning in summary.warnings]
    if summary.unknown_item_events is None:
        lines.append("  no index is published: items were not looked up")
    return "\n".join((*lines, f"  {'seconds':<15}{summary.seconds:>12,.1f}  {speed}"))


def _passed(summary: ImportSummary) -> str:
    """What of a foreign log says nothing here, the most of it first."""
    parts = [f"{why} {count:,}" for why, count in list(summary.passed_over.items())[:6]]
    return "; ".join(parts)


def _conflict(summary: ImportSummary) -> str:
    first = summary.first_conflict
    if first is None:
        return ""
    return (
        f"kept; one id of a shopper on different events, first {first.id!r} of {first.shopper!r} "
        f"on {first.type} {first.item!r}"
    )


def _unknown(summary: ImportSummary) -> str:
    return f"{summary.unknown_items or 0:,} items are not in the published index; kept"


@click.group("pseudonyms")
def pseudonyms_commands() -> None:
    """The keys under which users and sessions are kept."""


@pseudonyms_commands.command("status")
@_JSON
@click.pass_obj
def status_command(workspace: Workspace, as_json: bool) -> None:
    """Show how many keys there are; replaces plain names that an earlier release has left."""
    with closing(open_histories(workspace)) as histories:
        users = sum(1 for _ in histories.users())
    keys = PseudonymKeys(workspace.home)
    names = keys.read()
    generation = names.generation if names else 0
    if as_json:
        answer = {"generation": generation, "file": str(keys.path), "users": users}
        echo_json(answer)
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
    rotation = rotate(workspace)
    if as_json:
        echo_json(rotation)
    else:
        click.echo(
            f"{rotation.shoppers:,} shoppers and {rotation.rankings:,} names in logged rankings "
            f"have pseudonyms of generation {rotation.generation} now."
        )
