"""feedback.py: a shop's own logs -> judged requests, judgments, estimates, by command."""

from pathlib import Path
from typing import Any

import click
import msgspec

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.commands.feedback_options import FILE, Joined, joined, source_of, source_options
from reranker.commands.feedback_report import (
    counts_of,
    curve_of,
    read_positions,
    shown_curve,
    shown_estimate,
    table,
)
from reranker.commands.finite_range import FiniteRange
from reranker.commands.input_files import InputFile
from reranker.commands.output import echo_result, json_option
from reranker.evaluation.leakage import Leaks, refused
from reranker.evaluation.results import ENGINE, rank_with
from reranker.feedback.click_counts import ClickCounts, clicked_on
from reranker.feedback.click_judgments import (
    MIN_IMPRESSIONS,
    SCALE,
    click_judgments,
    write_judgments,
)
from reranker.feedback.click_models import (
    METHODS,
    SHAPES,
    Examination,
    Method,
    Shape,
    drawn_curves,
    fit_clicks,
)
from reranker.feedback.joins import JoinedRanking
from reranker.feedback.off_policy import CLIP, CURVES, SHOWN, LoggedClicks, estimate
from reranker.feedback.requests import (
    HISTORY,
    judged_by,
    request_again,
    request_row,
    write_requests,
)
from reranker.metrics.intervals import SEED
from reranker.ranking.state import NamedBlend, ServedState, load_state

_JSON = json_option("End with one JSON object.")
_ACTION = click.option(
    "--action",
    default="click",
    show_default=True,
    help="What counts as a click: click (any graded event), or one type, such as purchase.",
)
_SHAPE = click.option(
    "--shape",
    type=click.Choice(SHAPES),
    default=SHAPES[0],
    show_default=True,
    help="How examination falls: never rising, as a power of the position, or anyhow.",
)
_POSITIONS = click.option(
    "--positions",
    type=InputFile(),
    help="A curve written by `requests positions --out`, not a new fit.",
)


@click.group("requests")
def requests_commands() -> None:
    """Judged requests, judgments and estimates from a shop's own logs."""


@requests_commands.command("from-events")
@click.option("--out", type=FILE, required=True, help="The requests file: .jsonl or .jsonl.gz.")
@click.option(
    "--history",
    type=click.IntRange(min=0),
    default=HISTORY,
    show_default=True,
    help="Newest events before the ranking that go along.",
)
@source_options
@_JSON
@click.pass_obj
def from_events_command(
    workspace: Workspace, /, out: Path, history: int, as_json: bool, **options: Any
) -> None:
    """Turn logged rankings and the events that followed into judged requests.

    An event belongs to the ranking that it names, else to the last one of the same shopper that
    showed its item within the window. Rankings that nothing followed are counted and left out.
    """
    _check_name(out)
    source = source_of(options)
    with joined(workspace, source) as join:
        rows = (
            request_row(joined_ranking, join.events, source.rules.grades, history)
            for joined_ranking in join.rankings
            if joined_ranking.followed
        )
        count = write_requests(out, rows)
    result = {"requests": count, **counts_of(join)}
    echo_result(result, table(f"{out}: {count:,} requests", join), as_json)


@requests_commands.command("positions")
@click.option("--out", type=FILE, help="Write the curve to this .json file, for --positions.")
@click.option("--method", type=click.Choice(METHODS), default=METHODS[0], show_default=True)
@_SHAPE
@_ACTION
@source_options
@_JSON
@click.pass_obj
def positions_command(
    workspace: Workspace,
    /,
    out: Path | None,
    method: Method,
    shape: Shape,
    action: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Estimate how likely each position is looked at, from clicks (position-based model)."""
    join, counts = _counted(workspace, options, action)
    model = fit_clicks(*counts.columns(), shape, method)
    result = {"estimate": True, **curve_of(model), **counts_of(join)}
    if out is not None:
        out.write_bytes(msgspec.json.encode(curve_of(model)) + b"\n")
    echo_result(result, table(shown_curve(model), join), as_json)


@requests_commands.command("judgments")
@click.option("--out", type=FILE, required=True, help="Quepid's CSV: query,docid,rating.")
@click.option("--correct-position", is_flag=True, help="Divide clicks by looks, not impressions.")
@click.option(
    "--min-impressions", type=click.IntRange(min=1), default=MIN_IMPRESSIONS, show_default=True
)
@click.option(
    "--scale",
    type=FiniteRange(0, 20, min_open=True),
    default=SCALE,
    show_default=True,
    help="The rating of an item that everybody who looks at it clicks.",
)
@click.option("--with-counts", is_flag=True, help="Two more columns: impressions, clicks.")
@_POSITIONS
@_SHAPE
@_ACTION
@source_options
@_JSON
@click.pass_obj
def judgments_command(
    workspace: Workspace,
    /,
    out: Path,
    correct_position: bool,
    min_impressions: int,
    scale: float,
    with_counts: bool,
    positions: Path | None,
    shape: Shape,
    action: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Estimate how attractive each item is for each query, as judgments.

    What clicks say is an estimate of taste at first sight, not a judgment of relevance.
    """
    if out.suffix != ".csv":
        raise click.UsageError(f"--out {out} has to end in .csv.")
    join, counts = _counted(workspace, options, action)
    curve = _examination(positions, counts, shape) if correct_position else None
    judgments = list(click_judgments(counts, curve, min_impressions, scale))
    write_judgments(out, judgments, with_counts)
    few = len(counts.pairs) - len(judgments)
    result = {"estimate": True, "judgments": len(judgments), "too_few_impressions": few}
    headline = (
        f"{out}: {len(judgments):,} estimated judgments, "
        f"{'corrected for position' if curve else 'not corrected for position'}; "
        f"{few:,} pairs had fewer than {min_impressions} impressions"
    )
    echo_result({**result, **counts_of(join)}, table(headline, join), as_json)


@requests_commands.command("estimate")
@click.option("--blend", required=True, help="A blend, published or not; engine: its own order.")
@click.option("--compare", help="Compare with this blend (or engine) instead of what was shown.")
@click.option(
    "--clip",
    type=FiniteRange(min=1),
    default=CLIP,
    show_default=True,
    help="The most that one click counts.",
)
@click.option(
    "--allow-leak",
    is_flag=True,
    help="Also rankings from before events that the model was trained on.",
)
@_POSITIONS
@_SHAPE
@_ACTION
@source_options
@_JSON
@click.pass_obj
def estimate_command(
    workspace: Workspace,
    /,
    blend: str,
    compare: str | None,
    clip: float,
    allow_leak: bool,
    positions: Path | None,
    shape: Shape,
    action: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Estimate the clicks that a blend's order would have had on the logged rankings.

    Clipped inverse propensity scoring, as a ratio to what was shown.
    """
    names = [blend, *([compare] if compare and compare != blend else [])]
    state = load_state(workspace)
    blends = [state.named(name) for name in names if name != ENGINE]
    leaks = Leaks(state, [chosen.blend for chosen in blends], allow_leak, of_anybody=True)
    clicked, counts, logged = clicked_on(action), ClickCounts(by_shopper=True), LoggedClicks()
    with joined(workspace, source_of(options)) as join:
        for joined_ranking in join.rankings:
            shopper = join.events.owner(joined_ranking.who)
            who = shopper if any(shopper) else joined_ranking.ranking.id
            counts.add(joined_ranking, clicked, who)
            items = [item for item in joined_ranking.ranking.items if clicked(joined_ranking, item)]
            if leaks.refuses(judged_by(joined_ranking.ranking, items)):
                continue
            orders = _orders(joined_ranking, join, state, names, blends) if items else {}
            logged.add(who, joined_ranking.ranking.items, items, orders)
    leaks.check(len(logged.rankings))
    if not logged.position:
        raise Failure(
            f"None of {join.counts.rankings:,} rankings was followed by a {action}.",
            hint="Are these the events of the same time? --window allows more minutes.",
        )
    curve = _examination(positions, counts, shape)
    curves = [] if positions else drawn_curves(counts.resampled(CURVES, SEED), shape)
    report = estimate(logged, curve, action, compare or SHOWN, clip, curves=curves)
    refusals = {"leaks": leaks.count, "leaks_by": leaks.by_reason}
    result = {"estimate": True, **msgspec.to_builtins(report), **refusals, **counts_of(join)}
    warnings = [*join.warnings, *leaks.warnings()]
    result |= {"warnings": warnings} if warnings else {}
    text = "\n".join(
        [
            shown_estimate(report),
            *refused(leaks.by_reason, "rankings"),
            *(f"warning: {warning}" for warning in leaks.warnings()),
        ]
    )
    echo_result(result, table(text, join), as_json)


def _orders(
    joined_ranking: JoinedRanking,
    join: Joined,
    state: ServedState,
    names: list[str],
    blends: list[NamedBlend],
) -> dict[str, list[str]]:
    """The items of a logged ranking in the engine's order and in that of each blend."""
    orders = {ENGINE: joined_ranking.ranking.engine_order()} if ENGINE in names else {}
    for blend in blends:
        ranking = rank_with(state, blend, request_again(joined_ranking, join.events))
        orders[blend.name] = [ranked.id for ranked in ranking.results]
    return {name: orders[name] for name in names}


def _counted(
    workspace: Workspace, options: dict[str, Any], action: str
) -> tuple[Joined, ClickCounts]:
    """Everything joined and read, and its clicks."""
    counts = ClickCounts()
    with joined(workspace, source_of(options)) as join:
        for joined_ranking in join.rankings:
            counts.add(joined_ranking, clicked_on(action))
    return join, counts


def _check_name(out: Path) -> None:
    if not out.name.endswith((".jsonl", ".jsonl.gz")):
        raise click.UsageError(f"--out {out} has to end in .jsonl or .jsonl.gz.")


def _examination(path: Path | None, counts: ClickCounts, shape: Shape) -> Examination:
    if path is None:
        return fit_clicks(*counts.columns(), shape).examination
    return read_positions(path)
