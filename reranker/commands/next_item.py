"""next_item.py: `reranker evaluate next-item` on the command line."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from indexes.errors import Failure
from indexes.readers.bad_lines import BadLines
from indexes.workspace import Workspace
from reranker.commands.finite_range import FiniteRange
from reranker.commands.input_files import InputFile
from reranker.commands.output import echo_result, json_option, show_bad
from reranker.commands.train_options import with_options
from reranker.model.settings import ENCODERS, TrainSettings

BASELINES: Final = ("popular", "popular-7d", "own-newest", "last-item", "together", "ease")


@click.command("next-item")
@click.option("--events", "source", type=InputFile(), help="Instead of the imported events.")
@click.option(
    "--split",
    type=click.Choice(("leave-one-out", "time")),
    default="leave-one-out",
    show_default=True,
    help="Foresee each shopper's last item, or the first one after a moment.",
)
@click.option(
    "--encoder",
    "encoders",
    type=click.Choice((*ENCODERS, "none")),
    multiple=True,
    help="Instead of train.encoder; may be given again; none: baselines alone.",
)
@click.option(
    "--baseline",
    "names",
    type=click.Choice((*BASELINES, "none")),
    multiple=True,
    help="Only these; default all.",
)
@click.option("--length", type=click.IntRange(1, 2000), help="Instead of train.length.")
@click.option("--minutes", type=FiniteRange(min=0), help="Instead of train.minutes.")
@click.option("--ids-only", is_flag=True, help="Without the index: items are known by id alone.")
@json_option("End with the result as one JSON object.")
@click.pass_obj
def next_item_command(
    workspace: Workspace,
    source: Path | None,
    split: str,
    encoders: tuple[str, ...],
    names: tuple[str, ...],
    length: int | None,
    minutes: float | None,
    ids_only: bool,
    as_json: bool,
) -> None:
    """Train on one part of the events, foresee the items of the other; nothing is published.

    The whole catalogue is ranked, no sample of it. Leave-one-out ranks items of the shopper's own
    history last, as published figures do; the time split does not.
    """
    settings = with_options(workspace, length=length, minutes=minutes)
    requested = [name for name in encoders or (settings.encoder,) if name != "none"]
    result = evaluate(workspace, settings, source, split, requested, names, ids_only)
    echo_result(result, _table(result), as_json)


def evaluate(
    workspace: Workspace,
    settings: TrainSettings,
    source: Path | None,
    split: Any,
    encoders: Sequence[str],
    names: Sequence[str],
    ids_only: bool,
) -> Any:
    """Baselines first, then each encoder; the report."""
    from reranker.model_selection.baselines import baselines
    from reranker.model_selection.next_item import baseline_ranks, report, split_parts
    from reranker.training.data import training_data

    sequences, catalogue = read_sequences(workspace, source, ids_only)
    parts = split_parts(sequences, split)
    data = training_data(sequences, catalogue, parts.limits, settings)
    possible = baselines(sequences, parts.limits, catalogue, parts.cutoff)
    requested = [name for name in names or BASELINES if name != "none"]
    ranks, models = {}, {}
    for name in requested:
        if name in possible:
            began = time.perf_counter()
            score = possible[name]()
            ranks[name] = baseline_ranks(score, sequences, parts, len(catalogue.ids))
            _say(f"{name}: {time.perf_counter() - began:,.1f} s")
    for encoder in dict.fromkeys(encoders):
        changed = msgspec.structs.replace(settings, encoder=encoder)
        ranks[encoder], models[encoder] = _trained(data, parts, changed)
    missing = {name: _WHY[name] for name in requested if name not in possible}
    return report(data, parts, ranks, split, models, missing)


_WHY: Final = {
    "last-item": "needs an index of the items' texts",
    "ease": "inverts a matrix of items by items: 20,000 items at most",
}


def _trained(data: Any, parts: Any, settings: TrainSettings) -> tuple[Any, dict[str, Any]]:
    """Ranks by a model trained on the training part, and what it took."""
    from reranker.model_selection.epoch_logs import epoch_bars, epoch_log
    from reranker.training.inference import model_ranks
    from reranker.training.loop import Training

    with epoch_log(None, _say) as on_epoch:
        training = Training(
            data, settings, mask_seen=parts.mask_seen, progress=epoch_bars, on_epoch=on_epoch
        )
        trained = training.run()
    ranks = model_ranks(
        trained.model, training.items, data.sequences, parts.cases, settings.length, parts.mask_seen
    )
    return ranks, {
        "seconds": trained.seconds,
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "epochs": trained.epochs,
        "best_epoch": trained.best_epoch,
        "validation_ndcg@10": trained.best_ndcg,
        "stopped": trained.stopped,
        "bfloat16": trained.bfloat16,
        "settings": msgspec.to_builtins(settings),
    }


def read_sequences(workspace: Workspace, source: Path | None, ids_only: bool) -> tuple[Any, Any]:
    """Sequences by catalogue row, and the catalogue."""
    from reranker.training.data import index_catalogue, own_catalogue
    from reranker.training.sources import imported_sequences, published_index

    if source is None:
        sequences = imported_sequences(workspace)
    else:
        sequences = _of_file(workspace, source)
    if ids_only:
        catalogue, sequences = own_catalogue(sequences)
        return sequences, catalogue
    index, settings = published_index(workspace), workspace.section(TrainSettings)
    catalogue, sequences, _ = index_catalogue(index, sequences, modalities=settings.modalities)
    return sequences, catalogue


def _of_file(workspace: Workspace, source: Path) -> Any:
    from indexes.times import TimeSettings
    from reranker.events.settings import EventSettings
    from reranker.training.sequences import file_events, sequences_of

    settings = workspace.section(EventSettings)
    bad = BadLines(source)
    events = file_events(source, settings, workspace.section(TimeSettings), bad.add)
    sequences = sequences_of(events, settings.weights())
    show_bad(bad)
    bad.check(len(sequences.items), settings.max_bad_share)
    if not len(sequences):
        raise Failure(f"{source} holds no event.", hint="One event a line is expected.")
    return sequences


def _say(line: str) -> None:
    click.echo(line, err=True)


def _table(result: Any) -> str:
    """The metrics, a row for each who foresees."""
    masked = "seen items last" if result.seen_masked else "seen items stay"
    lines = [
        f"{result.users:,} shoppers, {result.items:,} items, {result.events:,} events; "
        f"{result.split}, whole catalogue, {masked}; {result.left_out:,} shoppers left out",
        f"  {'':<14}{'hit@10':>9}{'ndcg@10':>9}{'mrr':>9}   95 % of ndcg@10",
    ]
    for name, metrics in result.metrics.items():
        numbers = "".join(f"{metrics[metric]:>9.4f}" for metric in ("hit@10", "ndcg@10", "mrr"))
        interval = result.intervals[name].get("ndcg@10")
        spread = f"   {interval.low:.4f} to {interval.high:.4f}" if interval else ""
        lines.append(f"  {name:<14}{numbers}{spread}")
    for name, segment in result.segments.items():
        numbers = "  ".join(f"{who} {own['ndcg@10']:.4f}" for who, own in segment.metrics.items())
        lines.append(f"  {name} ({segment.users:,}): {numbers}")
    lines += [f"  {name}: not possible here, it {why}" for name, why in result.not_possible.items()]
    return "\n".join(lines)
