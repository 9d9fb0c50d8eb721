"""churn.py: `reranker churn` and `reranker evaluate churn` on the command line."""

import csv
import io
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from indexes.errors import Failure
from indexes.names import normalised
from indexes.readers.bad_lines import BadLines
from indexes.storage.durable import write_whole
from indexes.times import BadTime, TimeReader, TimeSettings
from indexes.workspace import Workspace
from reranker.commands.finite_range import FiniteRange
from reranker.commands.input_files import InputFile
from reranker.commands.output import echo_result, json_option, show_bad

if TYPE_CHECKING:
    from reranker.applications.churn.churn import ChurnAnswer, ChurnCard
    from reranker.applications.churn.churn_examples import ChurnEvents

_MOST_DAYS: Final = 730
_COLUMNS: Final = ("user", "probability", "value_at_risk", "days", "as_of", "model")
_DAYS: Final = click.option(
    "--days",
    type=FiniteRange(min=0, min_open=True, max=_MOST_DAYS),
    default=30.0,
    show_default=True,
    help="The horizon: no purchase within so many days.",
)


class NoChurnModel(Failure):
    """No churn model is published."""

    code = "no_churn_model"


@click.command("churn")
@click.argument("user", required=False)
@click.option("--all", "everybody", is_flag=True, help="Every active customer, riskiest first.")
@_DAYS
@click.option("--out", type=click.Path(path_type=Path), help="With --all: .csv or .parquet.")
@click.option(
    "--users",
    "names",
    type=InputFile(),
    help="With --all: only these users, an id a line, and under these ids. Else customers are "
    "named by the pseudonyms under which they are kept.",
)
@click.option("--as-of", help="Now (ISO 8601); default right after the newest stored event.")
@json_option("End with the result as one JSON object.")
@click.pass_obj
def churn_command(
    workspace: Workspace,
    user: str | None,
    everybody: bool,
    days: float,
    out: Path | None,
    names: Path | None,
    as_of: str | None,
    as_json: bool,
) -> None:
    """How likely a customer buys nothing in the next days, with the three main reasons.

    `reranker train` publishes the model where enough was bought. A score says who may leave, not
    whom a letter would keep: that takes a holdout, see docs/churn.md.
    """
    if (user is None) == (not everybody):
        raise click.UsageError("Name one USER, or --all.")
    if everybody and (out is None or out.suffix not in (".csv", ".parquet")):
        raise click.UsageError("--all needs --out FILE that ends in .csv or .parquet.")
    if not everybody and (out or names):
        raise click.UsageError("--out and --users go with --all.")
    now = None if as_of is None else _seconds(workspace, as_of)
    if user is not None:
        answer = _one(workspace, user, days, now)
        echo_result(answer, _sentences(answer), as_json)
        return
    assert out is not None
    answers = _all(workspace, days, now, names)
    _write(out, answers)
    at_risk = sum(answer.value_at_risk or 0.0 for answer in answers)
    result = {"customers": len(answers), "value_at_risk": at_risk, "out": str(out)}
    text = f"{len(answers):,} active customers in {out}; {at_risk:,.2f} is at risk in {days:g} days"
    echo_result(result, text, as_json)


def _one(workspace: Workspace, user: str, days: float, now: float | None) -> "ChurnAnswer":
    from reranker.applications.churn.churn import after, churn_of
    from reranker.histories.store import open_histories

    card, name = published_card(workspace), normalised(user)
    with closing(open_histories(workspace)) as histories:
        moment = after(histories.newest_time() or card.newest) if now is None else now
        events = histories.recent(name, None, card.user_events, moment)
    return churn_of(name, card, events, moment, days)


def _all(
    workspace: Workspace, days: float, now: float | None, names: Path | None
) -> "list[ChurnAnswer]":
    """Riskiest first."""
    from reranker.applications.churn.churn import after, churn_answers
    from reranker.applications.churn.churn_publishing import stored_events

    card = published_card(workspace)
    own = None if names is None else _own_names(workspace, names)
    events = stored_events(workspace, card.user_events, now)
    if not len(events):
        return []
    moment = after(float(events.times.max())) if now is None else now
    answers = churn_answers(card, events, moment, days)
    if own is not None:
        answers = [
            msgspec.structs.replace(answer, user=own[answer.user])
            for answer in answers
            if answer.user in own
        ]
    return sorted(answers, key=lambda answer: -(answer.probability or 0.0))


def published_card(workspace: Workspace) -> "ChurnCard":
    """Of the served model version; NoChurnModel where it has none."""
    from reranker.applications.churn.churn import load_churn
    from reranker.model.versions import model_store

    store = model_store(workspace)
    version = store.current()
    if version is None:
        raise NoChurnModel(
            f"No model is published in {workspace.home}.", hint="Run `reranker train` first."
        )
    store.ensure_verified(version)
    card = load_churn(version.folder)
    if card is None:
        raise NoChurnModel(
            f"Model {version.id} has no churn model: when it was trained, too few purchases were "
            "kept, or over too short a time.",
            hint="Import more purchases and run `reranker train` again.",
        )
    return card


def _own_names(workspace: Workspace, path: Path) -> dict[str, str]:
    """The shop's own ids by pseudonym."""
    from reranker.histories.histories import Shopper
    from reranker.histories.store import open_histories

    lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    with closing(open_histories(workspace)) as histories:
        return {
            histories.hidden(Shopper(normalised(line), None)).user or line: line
            for line in lines
            if line
        }


def _write(out: Path, answers: "list[ChurnAnswer]") -> None:
    """One row a customer; of each reason its input, effect and text."""
    rows = [_row(answer) for answer in answers]
    header = [*_COLUMNS, *(f"reason_{n}{part}" for n in (1, 2, 3) for part in ("", "_effect"))]
    if out.suffix == ".csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        write_whole(out, text.getvalue().encode())
        return
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise Failure(
            "Parquet needs pyarrow, which this installation lacks.",
            field="out",
            hint="Run `pip install 'shop-reranker[parquet]'`, or name a .csv.",
        ) from None
    table = pa.table({name: [row[at] for row in rows] for at, name in enumerate(header)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_whole(out, buffer.getvalue())


def _row(answer: "ChurnAnswer") -> list[Any]:
    row: list[Any] = [getattr(answer, name) for name in _COLUMNS]
    row[0] = _harmless(answer.user)
    for place in range(3):
        there = answer.reasons[place : place + 1]
        row += [there[0].text, there[0].effect] if there else [None, None]
    return row


def _harmless(text: str) -> str:
    """A spreadsheet takes what begins with these for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _sentences(answer: "ChurnAnswer") -> str:
    if answer.probability is None:
        return answer.degraded[0].message
    lines = [
        f"{answer.user}: {answer.probability:.1%} to buy nothing in {answer.days:g} days from "
        f"{answer.as_of} on ({answer.model}); {answer.value_at_risk:,.2f} at risk"
    ]
    lines += [f"  {reason.effect:+.2f}  {reason.text}" for reason in answer.reasons]
    return "\n".join(lines)


def _seconds(workspace: Workspace, as_of: str) -> float:
    try:
        return TimeReader(workspace.section(TimeSettings)).read(as_of, "--as-of").seconds
    except BadTime as error:
        raise click.UsageError(f"{error}.") from None


@click.command("churn")
@click.option("--events", "source", type=InputFile(), help="Instead of the imported events.")
@_DAYS
@click.option(
    "--active-days",
    type=FiniteRange(min=0, min_open=True),
    default=180.0,
    show_default=True,
    help="Customers who bought so many days before a moment or less are asked about.",
)
@json_option("End with the result as one JSON object.")
@click.pass_obj
def evaluate_churn_command(
    workspace: Workspace, source: Path | None, days: float, active_days: float, as_json: bool
) -> None:
    """Foresee who buys nothing within --days, at three moments, by models of what came before.

    At each moment every model learns from examples that had ended by then. The shipped one is
    chosen on three earlier moments. Nothing is published.
    """
    from reranker.applications.churn.churn_evaluation import evaluate
    from reranker.applications.churn.churn_publishing import stored_events

    events = stored_events(workspace) if source is None else _of_file(workspace, source)
    result = evaluate(events, days, active_days, lambda line: click.echo(line, err=True))
    echo_result(result, _table(result), as_json)


def _of_file(workspace: Workspace, source: Path) -> "ChurnEvents":
    from reranker.applications.churn.churn_examples import churn_events
    from reranker.events.settings import EventSettings
    from reranker.training.sequences import file_events

    settings, bad = workspace.section(EventSettings), BadLines(source)
    events = file_events(source, settings, workspace.section(TimeSettings), bad.add)
    columns = churn_events((name, event) for name, event in events if event.user is not None)
    show_bad(bad)
    return columns


def _table(result: dict[str, Any]) -> str:
    shown = ("auc", "average_precision", "brier", "log_loss", "ece", "lift@10%")
    lines = [
        f"{result['examples']:,} examples of {result['customers']:,} customers at "
        f"{len(result['moments'])} moments; {result['base_rate']:.1%} bought nothing in "
        f"{result['days']:g} days",
        f"  {'':<20}{'auc':>9}{'av.prec':>9}{'brier':>9}{'log loss':>9}{'ece':>9}{'lift@10%':>9}",
    ]
    for name, metrics in result["metrics"].items():
        cells = "".join(f"{metrics[metric]:>9.4f}" for metric in shown)
        lines.append(f"  {name:<20}{cells}{'  <- shipped' if name == result['shipped'] else ''}")
    lines.append(f"  shipped minus each other, 95 % over customers ({result['shipped']}):")
    for name, difference in result["difference"].items():
        cells = "  ".join(
            f"{metric} {value['mean']:+.4f} ({value['low']:+.4f} to {value['high']:+.4f})"
            for metric, value in list(difference.items())[:3]
        )
        lines.append(f"  {name:<20}{cells}")
    lines.append("  calibration of the shipped model: foreseen, observed, examples")
    lines += [
        f"  {bin['from']:.1f} to {bin['to']:.1f}  {bin['foreseen']:.3f}  {bin['observed']:.3f}  "
        f"{bin['examples']:,}"
        for bin in result["calibration"]
    ]
    lines += [f"  {name}: {why}" for name, why in result["missing"].items()]
    return "\n".join(lines)
