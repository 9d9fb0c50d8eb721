"""shadows.py: `reranker blends shadow` on the command line."""

import click

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.blends.store import BlendStore
from reranker.commands.feedback_options import Source, joined
from reranker.commands.finite_range import FiniteRange
from reranker.commands.output import echo_json, echo_result, json_option
from reranker.experiments.shadow_files import (
    MOST_SHADOWS,
    ShadowChoice,
    choose_shadows,
    read_shadows,
    shadow_choice,
)
from reranker.experiments.shadow_report import as_rows, shown_summaries, summaries
from reranker.feedback.click_counts import clicked_on
from reranker.feedback.joins import GRADES, JoinRules

_WINDOW_SECONDS = 1800.0


@click.command("shadow")
@click.argument("blends", nargs=-1)
@click.option("--share", type=FiniteRange(0, 1), help="Of the requests; default 0.1.")
@click.option("--off", is_flag=True, help="Rank by no shadow any more.")
@click.option("--report", is_flag=True, help="How the shadows differ from what was served.")
@json_option()
@click.pass_obj
def shadow_command(
    workspace: Workspace,
    blends: tuple[str, ...],
    share: float | None,
    off: bool,
    report: bool,
    as_json: bool,
) -> None:
    """Let BLENDS rank a share of the requests unseen: computed and logged, never served.

    Without arguments: which do now. A running service takes it up within a second.
    """
    if report:
        _report(workspace, as_json)
        return
    if off or blends or share is not None:
        choose_shadows(workspace.home, _chosen(workspace, blends, share, off))
    choice = shadow_choice(workspace.home)
    if as_json:
        echo_json(choice)
    elif choice.blends:
        click.echo(f"{', '.join(choice.blends)}: {choice.share:.0%} of the requests")
    else:
        click.echo("no shadow blends")


def _chosen(
    workspace: Workspace, blends: tuple[str, ...], share: float | None, off: bool
) -> ShadowChoice:
    if off:
        return ShadowChoice()
    if len(blends) > MOST_SHADOWS:
        raise click.UsageError(f"At most {MOST_SHADOWS} blends can be shadows.")
    before = shadow_choice(workspace.home)
    store = BlendStore(workspace.blends_root)
    labels = [f"{blend.name}@{number}" for blend, number in map(store.get, blends)]
    return ShadowChoice(labels or before.blends, before.share if share is None else share)


def _report(workspace: Workspace, as_json: bool) -> None:
    shadows = summaries(read_shadows(workspace), _clicked(workspace))
    echo_result({"shadows": as_rows(shadows)}, shown_summaries(shadows), as_json)


def _clicked(workspace: Workspace) -> dict[str, list[int]]:
    """By ranking, the places in the engine's list of what was clicked; none without logs."""
    is_click = clicked_on("click")
    clicked: dict[str, list[int]] = {}
    try:
        with joined(workspace, Source(None, None, JoinRules(GRADES, _WINDOW_SECONDS), 1.0)) as join:
            for joined_ranking in join.rankings:
                ranking = joined_ranking.ranking
                if ranking.order is not None:
                    pairs = zip(ranking.items, ranking.order, strict=True)
                    clicked[ranking.id] = [
                        at for item, at in pairs if is_click(joined_ranking, item)
                    ]
    except Failure as failure:
        click.echo(f"without clicks: {failure.message}", err=True)
    return clicked
