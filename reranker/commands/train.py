"""train.py: `reranker train`: imported events -> a published model version."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from indexes.errors import Failure
from indexes.storage.versions import exclusive
from indexes.times import BadTime, TimeReader, TimeSettings
from indexes.workspace import Workspace
from reranker.commands.finite_range import FiniteRange
from reranker.commands.output import echo_result, json_option
from reranker.model.settings import ENCODERS, TrainSettings

LOG: Final = "training.jsonl"
_COUNTS_ONLY: str | None = "only counts were asked for (--counts-only)"


class NoEvents(Failure):
    """Nothing was imported yet."""

    code = "no_events"


@click.command("train")
@click.option("--encoder", type=click.Choice(ENCODERS), help="Instead of train.encoder.")
@click.option(
    "--minutes",
    type=FiniteRange(min=0),
    help="End after this with the best so far; 0: when it no longer gets better.",
)
@click.option(
    "--until",
    help="Only events before this time (ISO 8601): requests from then on are an honest test.",
)
@click.option(
    "--counts-only",
    is_flag=True,
    help="Publish what is counted (popular, repeat, together, ...), in seconds; no encoder.",
)
@json_option("End with one JSON object.")
@click.pass_obj
def train_command(
    workspace: Workspace,
    encoder: str | None,
    minutes: float | None,
    until: str | None,
    counts_only: bool,
    as_json: bool,
) -> None:
    """Train the sequence encoder on the imported events and publish it.

    What it learns is the next item, over the whole catalogue. A training that was interrupted, or
    that --minutes ended, goes on where it was as long as events and settings are the same.
    """
    settings = with_options(workspace, encoder=encoder, minutes=minutes)
    end = None if until is None else _seconds(workspace, until)
    root = workspace.home / "model"
    with exclusive(root / "lock", "train"):
        summary = train(
            workspace,
            settings,
            on_line=lambda line: click.echo(line, err=True),
            until=end,
            counts_only=counts_only,
        )
    echo_result(summary, _report(summary), as_json)


def _seconds(workspace: Workspace, until: str) -> float:
    """The time that --until names."""
    try:
        return TimeReader(workspace.section(TimeSettings)).read(until, "--until").seconds
    except BadTime as error:
        raise click.UsageError(f"{error}.") from None


def _report(summary: dict[str, Any]) -> str:
    lines = [f"model {summary['version']} published"]
    if summary["encoder"] is None:
        lines[0] += " without an encoder: counts alone, so that behaviour stays silent"
        lines.append(f"  because   {summary['reason']}")
    else:
        lines.append(f"  encoder   {summary['encoder']} ({summary['parameters']:,} parameters)")
    lines.append(
        f"  trained   {summary['shoppers']:,} shoppers, {summary['events']:,} events, "
        f"{summary['known_items']:,} items"
    )
    if summary["encoder"] is not None:
        lines += [
            f"  NDCG@10   {summary['ndcg@10']:.4f} on held-out last items, over all "
            f"{summary['items']:,} items",
            f"  epochs    {summary['epochs']} (best {summary['best_epoch']}; ended by "
            f"{summary['stopped']})",
        ]
    lines += [f"  blend     {summary['blend']}", f"  seconds   {summary['seconds']:,.1f}"]
    return "\n".join(lines)


def with_options(workspace: Workspace, **options: Any) -> TrainSettings:
    """The home's settings with what the command line says instead."""
    changes = {name: value for name, value in options.items() if value is not None}
    return msgspec.structs.replace(workspace.section(TrainSettings), **changes)


def train(
    workspace: Workspace,
    settings: TrainSettings,
    on_line: Callable[[str], object],
    *,
    until: float | None = None,
    counts_only: bool = False,
) -> dict[str, Any]:
    """Train and publish; what came of it.

    until: only on events before, in epoch seconds.
    counts_only: without a sequence encoder; one whose training was interrupted keeps its state.
    """
    from reranker.blends.store import BlendStore, publish_personal
    from reranker.events.settings import EventSettings
    from reranker.model.training_times import training_times
    from reranker.model.training_users import save_training_users
    from reranker.model.versions import model_store
    from reranker.pseudonyms.keys import PseudonymKeys
    from reranker.training.actions import fit_next_action
    from reranker.training.checkpoints import Checkpoint
    from reranker.training.data import index_catalogue, training_data
    from reranker.training.first_seen import published_first_seen
    from reranker.training.item_statistics import count_statistics, shelves_of, with_first_seen
    from reranker.training.publish import publish_model

    began = time.perf_counter()
    sessions: dict[str, str] = {}
    index = published_index(workspace)
    sequences = imported_sequences(workspace, sessions, until)
    catalogue, sequences, whitening = index_catalogue(index, sequences)
    data = training_data(sequences, catalogue, sequences.at[1:], settings)
    work = workspace.home / "model" / "work"
    attempt, reason = None, _COUNTS_ONLY
    if not counts_only:
        attempt, reason = _trained(data, settings, work, on_line)
    trained = None if reason else attempt
    about = {
        "index": index.version,
        "fingerprint": index.fingerprint,
        "encoder": settings.encoder if trained else None,
        "reason": reason,
        "settings": msgspec.to_builtins(settings),
        "seed": settings.seed,
        "shoppers": len(sequences),
        "validation_shoppers": len(data.validation),
        "events": len(sequences.items),
        "searches": int((sequences.queries >= 0).sum()),
        "items": len(index),
        "known_items": len(data.known),
        **training_times(sequences.times, until),
        **_measured(trained),
    }
    store = model_store(workspace)
    minutes = workspace.section(EventSettings).session_minutes
    shelves = shelves_of(index)
    statistics = count_statistics(sequences, catalogue.ids, settings, shelves, minutes)
    statistics = with_first_seen(statistics, index.ids.hashes, published_first_seen(store))

    def more(folder: Path) -> None:
        statistics.save(folder)
        names = PseudonymKeys(workspace.home).open()
        save_training_users(sequences, folder, names, catalogue.ids, sessions)
        if trained:
            fit_next_action(
                trained.model.cpu(), data.items, sequences, minutes, settings.length, folder
            )

    version = publish_model(store, trained, data, whitening, settings, about, more)
    blend = publish_personal(BlendStore(workspace.blends_root), encoder=trained is not None)
    if not counts_only and (attempt is None or attempt.stopped != "minutes"):
        Checkpoint(work).remove()
    return {
        "version": version.id,
        "blend": blend,
        **about,
        "seconds": round(time.perf_counter() - began, 1),
    }


def _trained(
    data: Any, settings: TrainSettings, work: Path, on_line: Callable[[str], object]
) -> tuple[Any, str | None]:
    """The trained model, None where there is no use in training, and why it is not published."""
    from reranker.training.epoch_logs import FOLDER, tensorboard_log
    from reranker.training.loop import Training

    held_out = len(data.validation)
    if held_out < min(settings.min_validation_shoppers, settings.validation_users):
        return None, _too_few(data, settings, held_out)
    with (
        epoch_log(work / LOG, on_line) as log_epoch,
        tensorboard_log(work / FOLDER, on_line) as drawn,
    ):

        def on_epoch(epoch: Any) -> None:
            log_epoch(epoch)
            drawn(epoch)

        training = Training(data, settings, folder=work, progress=epoch_bars, on_epoch=on_epoch)
        trained = training.run()
    if trained.best_ndcg > 0:
        return trained, None
    return trained, (
        f"the encoder found none of the {held_out:,} held-out last items of its own validation "
        f"among its first ten, after {trained.epochs:,} epochs on {len(data.sequences):,} shoppers "
        f"with {len(data.sequences.items):,} events: import more events, or train for longer"
    )


def _too_few(data: Any, settings: TrainSettings, held_out: int) -> str:
    """What there is and what is wanted: half of those who can be held out are."""
    least = settings.min_validation_shoppers
    return (
        f"{held_out:,} shoppers can be held out for validation and {least:,} are needed "
        f"(train.min_validation_shoppers), which takes about {2 * least:,} shoppers with three "
        f"events of known items; there are {len(data.sequences):,} shoppers with "
        f"{len(data.sequences.items):,} events"
    )


def _measured(trained: Any) -> dict[str, Any]:
    """How the training went; None where nothing of it is published."""
    if trained is None:
        names = ("parameters", "ndcg@10", "epochs", "best_epoch", "stopped", "bfloat16")
        return dict.fromkeys(names)
    return {
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "ndcg@10": trained.best_ndcg,
        "epochs": trained.epochs,
        "best_epoch": trained.best_epoch,
        "stopped": trained.stopped,
        "bfloat16": trained.bfloat16,
    }


def published_index(workspace: Workspace) -> Any:
    """The served index; NoIndex before the first one."""
    from indexes.items.index import ItemIndex, published_version

    return ItemIndex(published_version(workspace))


def imported_sequences(
    workspace: Workspace, sessions: dict[str, str] | None = None, until: float | None = None
) -> Any:
    """Every kept history before `until`; NoEvents where there is none.

    sessions: filled with those that became a user's, and whose.
    """
    from reranker.events.settings import event_weights
    from reranker.histories.store import open_histories
    from reranker.training.sequences import kept_events, noting_sessions, sequences_of

    most = workspace.section(TrainSettings).user_events
    with closing(open_histories(workspace)) as histories:
        events = kept_events(histories, most, until)
        if sessions is not None:
            events = noting_sessions(events, sessions)
        sequences = sequences_of(events, event_weights(workspace))
    if not len(sequences):
        before = "" if until is None else " from before --until"
        raise NoEvents(
            f"No event{before} is kept in {workspace.home}.",
            hint="Run `reranker events import FILE` first.",
        )
    return sequences


@contextmanager
def epoch_log(
    path: Path | None, on_line: Callable[[str], object]
) -> Iterator[Callable[[Any], None]]:
    """Each epoch as a line for a person, and as JSON in a file that is added to."""
    if path is None:
        yield lambda epoch: _tell(epoch, on_line)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:

        def note(epoch: Any) -> None:
            _tell(epoch, on_line)
            file.write(msgspec.json.encode(epoch) + b"\n")
            file.flush()

        yield note


def _tell(epoch: Any, on_line: Callable[[str], object]) -> None:
    mark = "  best so far" if epoch.best else ""
    on_line(
        f"epoch {epoch.epoch:>3}  loss {epoch.loss:.4f}  NDCG@10 {epoch.ndcg_at_10:.4f}  "
        f"hit@10 {epoch.hit_at_10:.4f}  {epoch.seconds:,.1f} s{mark}"
    )


@contextmanager
def epoch_bars(stage: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """A bar for each epoch; hidden when stderr is not a terminal."""
    from tqdm import tqdm

    with tqdm(desc=stage, total=total, unit=" histories", disable=None, leave=False) as bar:
        yield bar.update
