"""requests_commands.py: a shop's own logs -> judged requests, judgments and estimates, by command."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.click_counts import ClickCounts, clicked_on
from reranker.click_judgments import MIN_IMPRESSIONS, SCALE, click_judgments, write_judgments
from reranker.click_models import METHODS, SHAPES, ClickModel, Examination, Shape, fit_clicks
from reranker.counterfactual import CLIP, SHOWN, EstimateReport, LoggedClicks, estimate
from reranker.logged_requests import HISTORY, request_again, request_row, write_requests
from reranker.query_results import ENGINE, rank_with
from reranker.ranking_joins import JoinCounts, JoinedRanking
from reranker.requests_options import FILE, Joined, joined, source_of, source_options
from reranker.state import ServedState, load_state

_JSON = click.option("--json", "as_json", is_flag=True, help="End with one JSON object.")
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
    "--positions", type=FILE, help="A curve written by `requests positions --out`, not a new fit."
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
    workspace: Workspace, out: Path, history: int, as_json: bool, **options: Any
) -> None:
    """Turn logged rankings and the events that followed into judged requests.

    An event belongs to the ranking that it names, else to the last one of the same shopper that
    showed its item within the window. Rankings that nothing followed are counted and left out.
    """
    _check_name(out)
    source = source_of(options)
    with joined(workspace, source) as found:
        rows = (
            request_row(one, found.events, source.rules.grades, history)
            for one in found.rankings
            if one.followed
        )
        written = write_requests(out, rows)
    result = {"requests": written, **_counts(found)}
    click.echo(_encoded(result) if as_json else _table(f"{out}: {written:,} requests", found))


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
    out: Path | None,
    method: Any,
    shape: Shape,
    action: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Estimate how likely each position is looked at, from clicks (position-based model)."""
    counts = ClickCounts()
    with joined(workspace, source_of(options)) as found:
        for one in found.rankings:
            counts.add(one, clicked_on(action))
    model = fit_clicks(*counts.columns(), shape, method)
    result = {"estimate": True, **_curve(model), **_counts(found)}
    if out is not None:
        out.write_bytes(msgspec.json.encode(_curve(model)) + b"\n")
    click.echo(_encoded(result) if as_json else _table(_shown_curve(model), found))


@requests_commands.command("judgments")
@click.option("--out", type=FILE, required=True, help="Quepid's CSV: query,docid,rating.")
@click.option("--correct-position", is_flag=True, help="Divide clicks by looks, not impressions.")
@click.option(
    "--min-impressions", type=click.IntRange(min=1), default=MIN_IMPRESSIONS, show_default=True
)
@click.option(
    "--scale",
    type=click.FloatRange(0, 20, min_open=True),
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
    counts = ClickCounts()
    with joined(workspace, source_of(options)) as found:
        for one in found.rankings:
            counts.add(one, clicked_on(action))
    curve = _examination(positions, counts, shape) if correct_position else None
    judgments = list(click_judgments(counts, curve, min_impressions, scale))
    write_judgments(out, judgments, with_counts)
    few = len(counts.pairs) - len(judgments)
    result = {"estimate": True, "judgments": len(judgments), "too_few_impressions": few}
    said = (
        f"{out}: {len(judgments):,} estimated judgments, "
        f"{'corrected for position' if curve else 'not corrected for position'}; "
        f"{few:,} pairs had fewer than {min_impressions} impressions"
    )
    click.echo(_encoded({**result, **_counts(found)}) if as_json else _table(said, found))


@requests_commands.command("estimate")
@click.option("--blend", required=True, help="A blend, published or not; engine: its own order.")
@click.option("--compare", help="Compare with this blend (or engine) instead of what was shown.")
@click.option(
    "--clip",
    type=click.FloatRange(min=1),
    default=CLIP,
    show_default=True,
    help="The most that one click counts.",
)
@_POSITIONS
@_SHAPE
@_ACTION
@source_options
@_JSON
@click.pass_obj
def estimate_command(
    workspace: Workspace,
    blend: str,
    compare: str | None,
    clip: float,
    positions: Path | None,
    shape: Shape,
    action: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Estimate the clicks that a blend's order would have had on the logged rankings (SNIPS)."""
    names = [blend, *([compare] if compare and compare != blend else [])]
    state = load_state(workspace)
    for name in names:
        if name != ENGINE:
            state.blend(name)
    clicked, counts, logged = clicked_on(action), ClickCounts(), LoggedClicks()
    with joined(workspace, source_of(options)) as found:
        for one in counts.watched(found.rankings, clicked):
            items = [item for item in one.ranking.items if clicked(one, item)]
            orders = {name: _order(one, found, state, name) for name in names} if items else {}
            shopper = found.events.owner(one.who)
            who = shopper if any(shopper) else one.ranking.id
            logged.add(who, one.ranking.items, items, orders)
    if not logged.position:
        raise Failure(
            f"None of {found.counts.rankings:,} rankings was followed by a {action}.",
            hint="Are these the events of the same time? --window allows more minutes.",
        )
    curve = _examination(positions, counts, shape)
    report = estimate(logged, curve, action, compare or SHOWN, clip)
    result = {"estimate": True, **msgspec.to_builtins(report), **_counts(found)}
    click.echo(_encoded(result) if as_json else _table(_shown_estimate(report), found))


def _order(one: JoinedRanking, found: Joined, state: ServedState, name: str) -> list[str]:
    if name == ENGINE:
        return one.ranking.engine_order()
    ranking = rank_with(state, name, request_again(one, found.events))
    return [ranked.id for ranked in ranking.results]


def _examination(path: Path | None, counts: ClickCounts, shape: Shape) -> Examination:
    if path is None:
        return fit_clicks(*counts.columns(), shape).examination
    return read_positions(path)


def read_positions(path: Path) -> Examination:
    """The curve of a file; Failure when it is none."""
    import numpy as np

    try:
        curve = msgspec.json.decode(path.read_bytes(), type=_Curve).examination
    except msgspec.DecodeError as error:
        raise Failure(
            f"{path} is no curve of positions: {error}.",
            hint="`reranker requests positions --out FILE` writes one.",
        ) from None
    if not curve or not all(0 < chance <= 1 for chance in curve):
        raise Failure(f"{path}: examination holds numbers above 0, up to 1, and at least one.")
    return Examination(np.array(curve))


class _Curve(msgspec.Struct):
    examination: list[float]


def _curve(model: ClickModel) -> dict[str, Any]:
    return {
        "examination": model.examination.by_position.round(6).tolist(),
        "impressions": model.shown.astype(int).tolist(),
        "clicks": model.clicked.astype(int).tolist(),
        "telling_pairs": model.telling_pairs,
        "rounds": model.rounds,
    }


def _check_name(out: Path) -> None:
    if not out.name.endswith((".jsonl", ".jsonl.gz")):
        raise click.UsageError(f"--out {out} has to end in .jsonl or .jsonl.gz.")


def _counts(found: Joined) -> dict[str, Any]:
    return {**msgspec.to_builtins(found.counts), "bad_lines": found.bad.count}


def _encoded(result: Any) -> str:
    return msgspec.json.encode(result).decode()


def _shown_curve(model: ClickModel) -> str:
    curve = model.examination.by_position.tolist()
    rows: Iterable[tuple[int, float]] = enumerate(curve, 1)
    lines = [
        f"  {place:>8}  {chance:>11.3f}  {'#' * round(40 * chance)}".rstrip()
        for place, chance in rows
        if place <= 10 or place % 10 == 0 or place == len(curve)
    ]
    told = f"Estimated from {model.telling_pairs:,} (query, item) pairs seen at several positions."
    return "\n".join(["  position  examination", *lines, told])


def _shown_estimate(report: EstimateReport) -> str:
    lines = [f"{report.action}s per ranking  (estimates, 95 % intervals over shoppers)"]
    seen = report.observed
    lines.append(f"  {'observed':<16}{seen.value:.4f}  {seen.low:.4f} .. {seen.high:.4f}")
    for name, order in report.orders.items():
        one = order.clicks
        lines.append(
            f"  {name:<16}{one.value:.4f}  {one.low:.4f} .. {one.high:.4f}   "
            f"effective clicks {order.effective_clicks:,.0f}, "
            f"never shown {order.never_shown:.1%} of its pages, ips {order.ips:.4f}"
        )
    change, first = report.difference, next(iter(report.orders))
    lines.append(
        f"{first} - {report.compared_with}: {change.value:+.4f} "
        f"({change.low:+.4f} .. {change.high:+.4f}); {report.clipped:.1%} of "
        f"{report.clicks:,} clicks clipped at {report.clip:g}"
    )
    return "\n".join([*lines, report.note])


def _table(head: str, found: Joined) -> str:
    return "\n".join([head, *_count_lines(found.counts, found.bad.count)])


def _count_lines(counts: JoinCounts, bad: int) -> Iterator[str]:
    for name, count in {**msgspec.to_builtins(counts), "bad_lines": bad}.items():
        if count or name in ("rankings", "joined"):
            yield f"  {name.replace('_', ' '):<28}{count:>12,}"
