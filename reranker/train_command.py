"""train_command.py: `reranker train`: imported events -> a published model version."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from indexes.errors import Failure
from indexes.versions import exclusive
from indexes.workspace import Workspace
from reranker.train_settings import ENCODERS, TrainSettings

LOG: Final = "training.jsonl"


class NoEvents(Failure):
    """Nothing was imported yet."""

    code = "no_events"


@click.command("train")
@click.option("--encoder", type=click.Choice(ENCODERS), help="Instead of train.encoder.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    help="End after this with the best so far; 0: when it no longer gets better.",
)
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object.")
@click.pass_obj
def train_command(
    workspace: Workspace, encoder: str | None, minutes: float | None, as_json: bool
) -> None:
    """Train the sequence encoder on the imported events and publish it.

    What it learns is the next item, over the whole catalogue. A training that was interrupted, or
    that --minutes ended, goes on where it was as long as events and settings are the same.
    """
    settings = told(workspace.section(TrainSettings), encoder, minutes)
    root = workspace.home / "model"
    with exclusive(root / "lock", "train"):
        summary = train(workspace, settings, on_line=lambda line: click.echo(line, err=True))
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())
    else:
        click.echo(
            f"model {summary['version']} published\n"
            f"  encoder   {summary['encoder']} ({summary['parameters']:,} parameters)\n"
            f"  trained   {summary['shoppers']:,} shoppers, {summary['events']:,} events, "
            f"{summary['known_items']:,} items\n"
            f"  NDCG@10   {summary['ndcg@10']:.4f} on held-out last items, over all "
            f"{summary['items']:,} items\n"
            f"  epochs    {summary['epochs']} (best {summary['best_epoch']}; ended by "
            f"{summary['stopped']})\n"
            f"  blend     {summary['blend']}\n"
            f"  seconds   {summary['seconds']:,.1f}"
        )


def told(settings: TrainSettings, encoder: str | None, minutes: float | None) -> TrainSettings:
    """The settings with what the command line says instead."""
    given = {"encoder": encoder, "minutes": minutes}
    return msgspec.structs.replace(
        settings, **{name: value for name, value in given.items() if value is not None}
    )


def train(
    workspace: Workspace, settings: TrainSettings, on_line: Callable[[str], object]
) -> dict[str, Any]:
    """Train and publish; what came of it."""
    from reranker.blend_store import BlendStore, publish_personal
    from reranker.checkpoints import Checkpoint
    from reranker.events import EventSettings
    from reranker.model_catalogue import index_catalogue
    from reranker.model_store import publish_model
    from reranker.model_versions import model_store
    from reranker.next_action import fit_next_action
    from reranker.pseudonym_keys import PseudonymKeys
    from reranker.shop_habits import shop_habits
    from reranker.trained_shoppers import save_trained_shoppers
    from reranker.training import Training
    from reranker.training_data import training_data
    from reranker.training_log import FOLDER, tensorboard_log

    began = time.perf_counter()
    index, sequences = published_index(workspace), imported_sequences(workspace)
    catalogue, sequences, whitening = index_catalogue(index, sequences)
    data = training_data(sequences, catalogue, sequences.at[1:], settings)
    work = workspace.home / "model" / "work"
    with (
        epoch_log(work / LOG, on_line) as told,
        tensorboard_log(work / FOLDER, on_line) as drawn,
    ):

        def on_epoch(epoch: Any) -> None:
            told(epoch)
            drawn(epoch)

        trained = Training(
            data, settings, folder=work, progress=epoch_bars, on_epoch=on_epoch
        ).run()
    about = {
        "index": index.version,
        "fingerprint": index.fingerprint,
        "encoder": settings.encoder,
        "settings": msgspec.to_builtins(settings),
        "seed": settings.seed,
        "shoppers": len(sequences),
        "events": len(sequences.items),
        "searches": int((sequences.queries >= 0).sum()),
        "items": len(index),
        "known_items": len(data.known),
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "ndcg@10": trained.best_ndcg,
        "epochs": trained.epochs,
        "best_epoch": trained.best_epoch,
        "stopped": trained.stopped,
        "bfloat16": trained.bfloat16,
    }
    store = model_store(workspace)
    habits = shop_habits(sequences, catalogue.ids, settings)

    def more(folder: Path) -> None:
        habits.save(folder)
        save_trained_shoppers(sequences, folder, PseudonymKeys(workspace.home).open())
        items, minutes = data.items, workspace.section(EventSettings).session_minutes
        fit_next_action(trained.model.cpu(), items, sequences, minutes, settings.length, folder)

    version = publish_model(store, trained, data, whitening, settings, about, more)
    blend = publish_personal(BlendStore(workspace.blends_root))
    if trained.stopped != "minutes":
        Checkpoint(work).remove()
    return {
        "version": version.id,
        "blend": blend,
        **about,
        "seconds": round(time.perf_counter() - began, 1),
    }


def published_index(workspace: Workspace) -> Any:
    """The served index; NoIndex before the first one."""
    from indexes.item_index import ItemIndex
    from indexes.versions import VersionStore
    from reranker.state import NoIndex

    store = VersionStore(workspace.index_root)
    version = store.current()
    if version is None:
        raise NoIndex(
            f"No index is published in {workspace.home}.",
            hint="Run `reranker rebuild --items FILE` first: events are read by their items' text.",
        )
    store.ensure_verified(version)
    return ItemIndex(version)


def imported_sequences(workspace: Workspace) -> Any:
    """Every kept history; NoEvents where there is none."""
    from reranker.events import event_weights
    from reranker.history_store import open_histories
    from reranker.sequences import kept_events, sequences_of

    histories = open_histories(workspace)
    try:
        most = workspace.section(TrainSettings).user_events
        sequences = sequences_of(kept_events(histories, most), event_weights(workspace))
    finally:
        histories.close()
    if not len(sequences):
        raise NoEvents(
            f"No event is kept in {workspace.home}.",
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
