"""train.py: imported events -> a published model version, and the default blend that fits it.

The encoder and the counts are tried on moments that neither has seen; `default_model` says which
are served. Model and blend then take in what was held out of the counts.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from indexes.cached import lazily
from indexes.items.index import ItemIndex
from indexes.modalities.whitening import Whitening
from indexes.progress import Progress, bars
from indexes.storage.arrays import Floats
from indexes.workspace import Workspace
from reranker.blends.store import BlendStore, publish_default, served_default
from reranker.events.settings import EventSettings
from reranker.feedback.files import rankings_folder
from reranker.model.settings import TrainSettings
from reranker.model.training_times import training_times
from reranker.model.training_users import save_training_users
from reranker.model.versions import model_store
from reranker.model_selection.default_model import DefaultModel, choose, trial_state
from reranker.model_selection.epoch_logs import FOLDER, epoch_bars, epoch_log, tensorboard_log
from reranker.model_selection.position_weights import position_weights
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.training.actions import fit_next_action
from reranker.training.checkpoints import Checkpoint
from reranker.training.data import TrainingData, index_catalogue, training_data
from reranker.training.first_seen import published_first_seen
from reranker.training.item_statistics import count_statistics, shelves_of, with_first_seen
from reranker.training.loop import Epoch, Trained, Training
from reranker.training.publish import publish_model, write_model
from reranker.training.search_statistics import count_searches
from reranker.training.sources import imported_sequences, published_index
from reranker.tuning.held_out_requests import held_out_requests
from reranker.tuning.logged_searches import logged_searches

if TYPE_CHECKING:
    from reranker.training.sequences import Sequences

LOG: Final = "training.jsonl"
_COUNTS_ONLY: Final = "only counts were asked for (--counts-only)"
Say = Callable[[str], object]
Beside = Callable[["TrainingRun", Path], object]  # writes more into a version's folder


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """What one `reranker train` reads, and what of it goes into a model's folder."""

    workspace: Workspace
    settings: TrainSettings
    index: ItemIndex
    sequences: "Sequences"
    data: TrainingData
    whitening: Whitening
    session_minutes: float
    sessions: dict[str, str] = field(default_factory=dict)  # those of users, and whose
    until: float | None = None
    trial: Path | None = None  # what was tried: a model and counts that no held-out moment is in

    @property
    def about(self) -> dict[str, Any]:
        """What was learned from, for the version's manifest."""
        return {
            "index": self.index.version,
            "fingerprint": self.index.fingerprint,
            "settings": msgspec.to_builtins(self.settings),
            "seed": self.settings.seed,
            "shoppers": len(self.sequences),
            "validation_shoppers": len(self.data.validation),
            "events": len(self.sequences.items),
            "searches": int((self.sequences.queries >= 0).sum()),
            "items": len(self.index),
            "known_items": len(self.data.known),
            **training_times(self.sequences.times, self.until),
        }

    def write_trial(self, folder: Path, trained: Trained | None) -> None:
        """The model as it is tried: nothing in it has seen what was held out."""
        write_model(folder, trained, self.data, self.whitening, self.settings)
        weights, limits = self.position_weights, self.data.held_out.limits
        if weights is not None:
            weights = weights[self.sequences.is_before(limits)]
        self._write_counts(folder, self.sequences.before(limits), weights)

    def write(self, folder: Path, trained: Trained | None) -> None:
        """The model as it is served: the counts of all events, and whose they were."""
        write_model(folder, trained, self.data, self.whitening, self.settings)
        self._write_counts(folder, self.sequences, self.position_weights)
        ids = self.data.catalogue.ids
        names = PseudonymKeys(self.workspace.home).open()
        save_training_users(self.sequences, folder, names, ids, self.sessions)
        fit_next_action(
            trained.model.cpu() if trained else None,
            self.data.items,
            self.sequences,
            self.session_minutes,
            self.settings.length,
            folder,
            self.data.held_out.limits,
        )

    @lazily
    def position_weights(self) -> Floats | None:
        """How far each event counts by the position of its item (events,); None: all alike."""
        return position_weights(
            rankings_folder(self.workspace),
            self.sequences,
            self.data.catalogue.ids,
            self.sessions,
            self.session_minutes,
            self.data.held_out.limits,
        )

    def _write_counts(self, folder: Path, sequences: "Sequences", weights: Floats | None) -> None:
        catalogue, settings = self.data.catalogue, self.settings
        items = count_statistics(
            sequences, catalogue.ids, settings, shelves_of(self.index), self.session_minutes
        )
        seen_before = published_first_seen(model_store(self.workspace))
        items = with_first_seen(items, self.index.ids.hashes, seen_before)
        items.save(folder)
        searches = count_searches(
            sequences,
            catalogue.searches,
            settings,
            self.session_minutes,
            weights,
        )
        searches.save(folder, items.numbers(len(catalogue.ids)))


def train(
    workspace: Workspace,
    settings: TrainSettings,
    on_line: Say,
    *,
    until: float | None = None,
    counts_only: bool = False,
    from_scratch: bool = False,
    beside: Sequence[Beside] = (),
    progress: Progress = bars,
) -> dict[str, Any]:
    """Train, prove, publish; what came of it.

    until: only on events before, in epoch seconds.
    counts_only: without a sequence encoder; one whose training was interrupted keeps its state.
    from_scratch: else the encoder begins with what the training before has learned.
    beside: what else the version holds, such as `reranker.applications.applications.BESIDE`.
    """
    began = time.perf_counter()
    if from_scratch:
        Checkpoint(work_folder(workspace)).remove()
    with tempfile.TemporaryDirectory(prefix="reranker-trial-") as trial:
        run = training_run(workspace, settings, until, from_scratch)
        run = replace(run, trial=Path(trial))
        result = _run(run, on_line, counts_only, beside, progress)
    return result | {"seconds": round(time.perf_counter() - began, 1)}


def _run(
    run: TrainingRun,
    on_line: Say,
    counts_only: bool,
    beside: Sequence[Beside],
    progress: Progress,
) -> dict[str, Any]:
    workspace, settings = run.workspace, run.settings
    work = work_folder(workspace)
    done: Trained | None = None
    reason: str | None = _COUNTS_ONLY
    if not counts_only:
        done, reason = _trained(run, work, on_line)
    chosen = _proved(run, None if reason else done, progress)
    reason = reason or _unproved(chosen, done, settings)
    served = None if reason else done
    about = run.about | {
        "encoder": settings.encoder if served else None,
        "reason": reason,
        "proof": msgspec.to_builtins(chosen.proof),
        **_measured(done),
    }

    def write(folder: Path) -> None:
        run.write(folder, served)
        for more in beside:
            more(run, folder)

    version = publish_model(model_store(workspace), about, settings.keep, write)
    blend = publish_default(BlendStore(workspace.blends_root), chosen.blend, chosen.harms)
    return {"version": version.id, "blend": blend, **about}


def work_folder(workspace: Workspace) -> Path:
    """Where the checkpoint of the newest training is, and its logs."""
    return workspace.home / "model" / "work"


def training_run(
    workspace: Workspace,
    settings: TrainSettings,
    until: float | None = None,
    from_scratch: bool = True,
) -> TrainingRun:
    """The published index and the imported events, with some moments held out.

    from_scratch: not with the weights of the training before.
    """
    sessions: dict[str, str] = {}
    index = published_index(workspace)
    sequences = imported_sequences(workspace, sessions, until)
    catalogue, sequences, whitening = index_catalogue(
        index, sequences, modalities=settings.modalities
    )
    minutes = workspace.section(EventSettings).session_minutes
    before = None if from_scratch else Checkpoint(work_folder(workspace)).scope()
    data = training_data(sequences, catalogue, sequences.at[1:], settings, minutes, before)
    return TrainingRun(
        workspace, settings, index, sequences, data, whitening, minutes, sessions, until
    )


def _trained(run: TrainingRun, work: Path, on_line: Say) -> tuple[Trained | None, str | None]:
    """The trained model, None where there is no use in training, and why it cannot be served."""
    data, settings = run.data, run.settings
    held_out = len(data.validation)
    if held_out < min(settings.min_validation_shoppers, settings.validation_users):
        return None, _too_few(data, settings, held_out)
    with (
        epoch_log(work / LOG, on_line) as logged,
        tensorboard_log(work / FOLDER, on_line) as drawn,
    ):

        def on_epoch(epoch: Epoch) -> None:
            logged(epoch)
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


def _too_few(data: TrainingData, settings: TrainSettings, held_out: int) -> str:
    """What there is and what is wanted: half of those who can be held out are."""
    least = settings.min_validation_shoppers
    return (
        f"{held_out:,} shoppers can be held out for validation and {least:,} are needed "
        f"(train.min_validation_shoppers), which takes about {2 * least:,} shoppers with three "
        f"events of known items; there are {len(data.sequences):,} shoppers with "
        f"{len(data.sequences.items):,} events"
    )


def _proved(run: TrainingRun, trained: Trained | None, progress: Progress) -> DefaultModel:
    """Try what was learned on the moments that were held out."""
    moments = run.data.held_out
    with progress("held-out searches", len(moments)) as done:
        requests = held_out_requests(
            run.sequences,
            moments,
            run.index,
            run.settings.length,
            logged_searches(rankings_folder(run.workspace), run.sequences, moments, run.sessions),
            done,
        )
    assert run.trial is not None
    run.write_trial(run.trial, trained)
    state = trial_state(run.workspace, run.index, run.trial, run.about)
    served = served_default(BlendStore(run.workspace.blends_root))
    needs_proof, encoder = run.settings.encoder_proof, trained is not None
    return choose(requests, len(moments), state, served, encoder, needs_proof, progress)


def _unproved(chosen: DefaultModel, trained: Trained | None, settings: TrainSettings) -> str | None:
    """Why the encoder is not served; None where it is."""
    if chosen.encoder:
        return None
    proof = chosen.proof
    more = "import more events, or train for longer"
    if proof is None or proof.difference is None:
        return f"too few of the held-out moments could be asked as searches: {more}"
    epochs = f"{trained.epochs:,} epochs" if trained else "no epoch"
    if trained and trained.stopped == "minutes":
        more = "`reranker train --minutes 0` goes on until it no longer gets better"
    low, high = proof.difference.low, proof.difference.high
    return (
        f"after {epochs} the blend with it is not proved better on {proof.requests:,} held-out "
        f"searches (NDCG@10 {proof.difference.mean:+.4f}, {low:+.4f} to {high:+.4f}): {more}"
    )


def _measured(trained: Trained | None) -> dict[str, Any]:
    """How the training went; None where there was none."""
    if trained is None:
        names = (
            "known_before",
            "parameters",
            "ndcg@10",
            "epochs",
            "best_epoch",
            "stopped",
            "bfloat16",
        )
        return dict.fromkeys(names)
    return {
        "known_before": trained.known_before,
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "ndcg@10": trained.best_ndcg,
        "epochs": trained.epochs,
        "best_epoch": trained.best_epoch,
        "stopped": trained.stopped,
        "bfloat16": trained.bfloat16,
    }
