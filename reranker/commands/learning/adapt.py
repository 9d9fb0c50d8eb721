"""adapt.py: `reranker adapt` on the command line."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from indexes.readers.bad_lines import BadLines
from indexes.storage.versions import exclusive
from indexes.workspace import Workspace
from reranker.adaptation.settings import AdaptSettings
from reranker.commands.finite_range import FiniteRange
from reranker.commands.output import echo_result, json_option, show_bad
from reranker.evaluation.requests import read_requests, request_reader

if TYPE_CHECKING:
    from reranker.adaptation.report import AdaptReport, Gain


@click.command("adapt")
@click.option(
    "--requests",
    "requests",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Judged requests (.jsonl, .jsonl.gz) to learn from, beside what shoppers searched for.",
)
@click.option("--minutes", type=FiniteRange(min=0), help="Instead of adapt.minutes.")
@click.option("--publish", is_flag=True, help="The next rebuild encodes with it, if it is proved.")
@json_option("End with one JSON object.")
@click.pass_obj
def adapt_command(
    workspace: Workspace, requests: Path | None, minutes: float | None, publish: bool, as_json: bool
) -> None:
    """Fine-tune the text encoder on the shop's own data, and prove it.

    It learns from judged requests and from what shoppers did after a search; where there is
    neither, from the catalogue: the words of a category, alone and with a brand, want its items.
    Six tenths of the queries are learned from, two choose how much of what was learned is taken,
    two prove it. It is kept only if those gain beyond doubt, by text alone, and queries made of the
    catalogue do not lose; with --publish the next `reranker rebuild` makes it read the queries,
    while items stay as they are (adapt.side).
    `reranker encoder rollback` rebuilds with the encoder before; `reranker index rollback` serves
    the index before at once.
    """
    from reranker.adaptation.adapt import adapt  # torch, which no other command needs

    settings = workspace.section(AdaptSettings)
    if minutes is not None:
        settings = msgspec.structs.replace(settings, minutes=minutes)
    judged = []
    if requests is not None:
        bad = BadLines(requests)
        judged = list(read_requests(requests, bad.add, request_reader(workspace)))
        show_bad(bad)
    with exclusive(workspace.home / "encoder" / "lock", "adapt"):
        report = adapt(workspace, settings, judged, publish=publish)
    echo_result(report, "\n".join(_lines(report)), as_json)


def _lines(report: "AdaptReport") -> Iterator[str]:
    learned = ", ".join(f"{count:,} of {name}" for name, count in report.learned.items())
    tuned: dict[str, Any] = report.tuned
    yield (
        f"learned from {learned} with {tuned['pairs']:,} wanted items; {report.chosen:,} chose, in "
        f"{tuned['seconds']:,.0f} s"
    )
    yield (
        f"  taken     {tuned['share']:.0%} of what was learned by step {tuned['best']:,} of "
        f"{tuned['steps']:,} (ended by {tuned['stopped']})"
    )
    yield "NDCG@10 by text alone of queries that were not learned from"
    gains = dict(report.gains) | ({"catalogue *": report.general} if report.general else {})
    yield from _gain_lines(gains)
    if report.general:
        yield "  * made of the catalogue: what is learned must not cost them"
    if report.of_original:
        yield f"the same beside {report.base}, the model as it was before any adaptation"
        yield from _gain_lines(report.of_original)
    if report.reason:
        yield f"not offered: {report.reason}. Nothing changes."
    elif report.published:
        yield f"encoder {report.version} published: `reranker rebuild` takes it into the index"
    else:
        yield f"encoder {report.version} kept; `reranker adapt --publish` publishes one"


def _gain_lines(gains: "Mapping[str, Gain]") -> Iterator[str]:
    yield f"  {'':<12}{'queries':>8}{'before':>9}{'after':>9}{'difference':>12}"
    for name, gain in gains.items():
        difference = gain.difference
        interval = ""
        if difference.low is not None and difference.high is not None:
            interval = f"  ({difference.low:+.4f} to {difference.high:+.4f})"
        yield (
            f"  {name:<12}{gain.queries:>8,}{gain.before:>9.4f}{gain.after:>9.4f}"
            f"{difference.mean:>+12.4f}{interval}"
        )
