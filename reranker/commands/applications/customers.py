"""customers.py: `reranker customers` on the command line."""

from contextlib import closing
from typing import Any

import click

from indexes.workspace import Workspace
from reranker.commands.output import echo_result, json_option


@click.command("customers")
@click.option(
    "--users",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    help="To at most so many, evenly spread, is recommended.",
)
@json_option("End with the figures as one JSON object.")
@click.pass_obj
def customers_command(workspace: Workspace, users: int, as_json: bool) -> None:
    """Who may leave of all customers, what is at risk, and what recommendations reach.

    Figures of groups, no row of a customer. They are kept in HOME/customers, which the page's tab
    Base shows; what is kept of the same versions and events is not worked out again.
    """
    from reranker.applications.customer_base import customer_base
    from reranker.histories.store import open_histories
    from reranker.ranking.state import load_state

    with closing(open_histories(workspace)) as histories:
        figures = customer_base(workspace, load_state(workspace, histories), histories, users)
    echo_result(figures, _text(figures), as_json)


def _text(figures: Any) -> str:
    churn, reach = figures.churn, figures.coverage
    lines = []
    if churn.missing:
        lines.append(f"churn: {churn.missing}")
    else:
        lines.append(
            f"churn: {churn.customers:,} active customers, {churn.mean:.1%} buy nothing in "
            f"{churn.days:g} days; {churn.at_risk:,.2f} is at risk ({churn.model})"
        )
        lines.append(f"  {'value':<8}{'risk':>12}{'customers':>12}{'at risk':>14}")
        lines += [
            f"  {part.value:<8}{f'{part.low:.0%} to {part.high:.0%}':>12}{part.customers:>12,}"
            f"{part.at_risk:>14,.2f}"
            for part in churn.segments
        ]
    lines.append(
        f"recommendations: {reach.coverage:.1%} of {reach.items:,} items reach any of "
        f"{reach.asked:,} of {reach.users:,} shoppers (top {reach.top_n}); Gini {reach.gini:.3f}"
    )
    return "\n".join(lines)
