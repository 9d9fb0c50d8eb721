"""recommend.py: `reranker recommend` on the command line."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from indexes.times import BadTime, TimeReader, TimeSettings
from indexes.workspace import Workspace
from reranker.commands.finite_range import FiniteRange
from reranker.commands.output import echo_result, json_option

_MANY: Final = 1000  # users from which on every core helps with --all


@click.command("recommend")
@click.argument("user", required=False)
@click.option("--all", "everyone", is_flag=True, help="Every user with a history; takes --out.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where --all writes: .parquet or .jsonl. Interrupted, the same command goes on.",
)
@click.option("--top-n", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--blend", help="Instead of the published blend.")
@click.option("--category", help="Only items at or below this category.")
@click.option("--available", is_flag=True, help="Nothing that the catalogue says is sold out.")
@click.option("--no-bought", is_flag=True, help="Nothing that the user bought.")
@click.option("--diversity", type=FiniteRange(min=0, max=1), help="Instead of the blend's own.")
@click.option("--as-of", help="Instead of right after the newest event (ISO 8601).")
@json_option("End with one JSON object: as POST /recommend answers, or the counts of --all.")
@click.pass_obj
def recommend_command(
    workspace: Workspace,
    /,
    user: str | None,
    everyone: bool,
    out: Path | None,
    as_of: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Recommend items to one user, or to everyone into a file; both as POST /recommend would.

    In a file users go by the names that the histories keep (pseudonyms), which every command and
    route takes, too.
    """
    if everyone == (user is not None):
        raise click.UsageError("Name a USER, or give --all.")
    if everyone != (out is not None):
        raise click.UsageError("--all and --out go together.")
    from reranker.applications.recommendations.all_shoppers import Helpers, write_all
    from reranker.applications.recommendations.candidates import CatalogueLists
    from reranker.applications.recommendations.recommend import recommend
    from reranker.histories.store import open_histories
    from reranker.ranking.state import load_state

    wish = _wish(workspace, as_of, **asked)
    histories = open_histories(workspace)
    try:
        state = load_state(workspace, histories)
        if out is not None:
            users = list(histories.users())
            cores = len(os.sched_getaffinity(0)) if len(users) >= _MANY else 1
            with Helpers(workspace, cores) if cores > 1 else nullcontext() as helpers:
                written = write_all(users, wish, state, out, helpers=helpers)
            text = (
                f"{written.rows:,} recommendations to {written.users:,} users in {written.out} "
                f"({written.resumed:,} users were there from an earlier run)"
            )
            echo_result(written, text, as_json)
            return
        shopper = msgspec.structs.replace(wish.shopper, user=user)
        wish = msgspec.structs.replace(wish, shopper=shopper)
        answer = recommend(wish, state, CatalogueLists(state.index, state.personal.learned))
        echo_result(answer, _table(answer, state.index), as_json)
    finally:
        histories.close()


def _wish(
    workspace: Workspace,
    as_of: str | None,
    top_n: int,
    blend: str | None,
    category: str | None,
    available: bool,
    no_bought: bool,
    diversity: float | None,
) -> Any:
    from reranker.applications.recommendations.wishes import Exclude, Filters, Wish
    from reranker.requests import RerankRequest

    time = None
    if as_of is not None:
        try:
            time = TimeReader(workspace.section(TimeSettings)).read(as_of, "--as-of").seconds
        except BadTime as error:
            raise click.BadParameter(f"{error}.", param_hint="--as-of") from None
    return Wish(
        RerankRequest([], blend=blend, time=time),
        filters=Filters(category=category, available=True if available else None),
        exclude=Exclude(bought=no_bought),
        top_n=top_n,
        diversity=diversity,
    )


def _table(answer: Any, index: Any) -> str:
    """A line an item: place, score, id, title, why."""
    rows = index.rows([result.id for result in answer.results]).tolist()
    titles = [index.columns.item(row).title for row in rows]
    lines = [f"source: {answer.source}"]
    for result, title in zip(answer.results, titles, strict=True):
        lines.append(
            f"{result.rank:>4}  {result.score:>8.4f}  {result.id:<14.14}  {title:<40.40}  "
            f"{result.reason.text}"
        )
    if not answer.results:
        lines.append("nothing passes the filters")
    lines += [f"degraded: {part.signal} ({part.reason})" for part in answer.degraded]
    return "\n".join(lines)


@click.command("recommend")
@click.option("--users", type=click.IntRange(1), default=2000, show_default=True, help="At most.")
@click.option("--minutes", type=FiniteRange(min=0), help="Instead of train.minutes.")
@json_option("End with the result as one JSON object.")
@click.pass_obj
def evaluate_recommend_command(
    workspace: Workspace, users: int, minutes: float | None, as_json: bool
) -> None:
    """Hold back each shopper's last item, train on the rest, and recommend as /recommend does.

    The whole catalogue may be recommended, no sample of it; nothing is published. `exact` ranks
    every item by the same blend (up to 20,000 items).
    """
    from reranker.applications.recommendations.evaluate_recommend import evaluate_recommend
    from reranker.commands.train_options import with_options

    settings = with_options(workspace, minutes=minutes)
    report = evaluate_recommend(workspace, settings, users, lambda line: click.echo(line, err=True))
    echo_result(report, _metrics_table(report), as_json)


def _metrics_table(report: Any) -> str:
    """A row a model."""
    names = list(report.metrics["recommend"])
    lines = [
        f"{report.users:,} shoppers, {report.items:,} items; {report.left_out:,} left out",
        f"  {'':<11}" + "".join(f"{name:>11}" for name in names),
    ]
    for model, metrics in report.metrics.items():
        lines.append(f"  {model:<11}" + "".join(f"{metrics[name]:>11.4f}" for name in names))
    if report.exact_loss is not None:
        lines.append(f"lost against exact scoring: {report.exact_loss:.1%} of ndcg@10")
    against = report.difference.get(report.best if report.best != "recommend" else _second(report))
    if against:
        lines.append(
            f"ndcg@10 of recommend minus the best other: {against['mean']:+.4f}, "
            f"95 % {against['low']:+.4f} to {against['high']:+.4f}"
        )
    lines.append(
        f"shipped: {report.shipped} ({report.chosen}, fitted on {report.fitted_on:,} moments); "
        f"best by ndcg@10: {report.best}"
    )
    return "\n".join(lines)


def _second(report: Any) -> str:
    """The best of the others."""
    others = [str(name) for name in report.metrics if name not in ("recommend", "exact")]
    return max(others, key=lambda name: float(report.metrics[name]["ndcg@10"]))
