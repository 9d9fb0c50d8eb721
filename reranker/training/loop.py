"""loop.py: training data and settings -> a trained model, kept at its best validation NDCG."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch

from indexes.progress import Progress, silent
from indexes.storage.arrays import Ints
from reranker.model.settings import TrainSettings
from reranker.training.batches import Batch, Cases
from reranker.training.checkpoints import Checkpoint, Notes, transfer_weights
from reranker.training.data import TrainingData, new_model, scope_of
from reranker.training.inference import TOP, model_ranks, ndcg_at_10, new_content_weight
from reranker.training.losses import Sampler, next_item_loss
from reranker.training.model import SequenceModel
from reranker.training.sequences import Sequences

_FLAGS: Final = ("avx512_bf16", "amx_bf16")
_TRIES: Final = 3

_LONGEST_STEP: Final = 5.0  # gradients beyond this length are shortened
_FALLS_FROM: Final = 0.5  # of the minutes: from there on steps get smaller, to 0 at their end


def faster_bfloat16(device: torch.device) -> bool:
    """Measured on a product such as the loss has; only where the processor has it at all."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return processor_has_bfloat16() and _seconds(torch.bfloat16) < 0.8 * _seconds(torch.float32)


def processor_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """What Linux says; False elsewhere."""
    try:
        flags = cpuinfo.read_text().partition("flags")[2].partition("\n")[0].split()
    except OSError:
        return False
    return any(flag in flags for flag in _FLAGS)


def _seconds(dtype: torch.dtype) -> float:
    """The best of a few; the first one also prepares."""
    users, items = torch.ones(1024, 128, dtype=dtype), torch.ones(128, 8192, dtype=dtype)
    taken = []
    for _ in range(_TRIES + 1):
        began = time.perf_counter()
        users @ items
        taken.append(time.perf_counter() - began)
    return min(taken)


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass over all histories came to."""

    epoch: int
    loss: float
    ndcg_at_10: float = msgspec.field(name="ndcg@10")
    hit_at_10: float = msgspec.field(name="hit@10")
    best: bool
    seconds: float


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome: the model is set to the weights of its best epoch; 0: those it began with.

    known_before: items of which the weights that it began with knew; None: it began from scratch.
    """

    model: SequenceModel
    epochs: int
    best_epoch: int
    best_ndcg: float
    seconds: float
    bfloat16: bool
    stopped: str  # "patience", "minutes" or "epochs"
    known_before: int | None = None


class Training:
    """One training, epoch by epoch. It goes on from its checkpoint, if there is one of its key;
    else it begins with the weights of the one before, where the data says that they fit."""

    def __init__(
        self,
        data: TrainingData,
        settings: TrainSettings,
        *,
        mask_seen: bool = False,
        folder: Path | None = None,
        progress: Progress = silent,
        on_epoch: Callable[[Epoch], object] = lambda _epoch: None,
    ) -> None:
        self.data, self.settings, self.mask_seen = data, settings, mask_seen
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = new_model(data, settings).to(self.device)
        self.items = data.items.to(self.device)
        self.adam = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate)
        self.sampler = Sampler(
            data.seen, data.counts, settings.negatives, settings.full_softmax_items
        )
        self._checkpoint = Checkpoint(folder) if folder else None
        self._progress, self._on_epoch = progress, on_epoch
        self.scope = scope_of(data, settings)
        self.best = self._weights()
        self.notes = self._begin()
        if self.notes.bfloat16:
            self.model.kind = torch.bfloat16

    def _begin(self) -> Notes:
        """The notes of a fresh training, a warm one, or those of the one that was interrupted."""
        key = training_key(self.data, self.settings)
        notes = self._checkpoint.notes(key) if self._checkpoint else None
        if notes is not None and self._checkpoint:
            best = self._checkpoint.read(self.model, self.adam)
            if best is not None:
                self.best = best
                return notes
        asked = self.settings.precision
        fast = faster_bfloat16(self.device) if asked == "auto" else asked == "bfloat16"
        return self._warm(Notes(key=key, bfloat16=fast))

    def _warm(self, notes: Notes) -> Notes:
        """The same, with the weights of the training before and what they are worth here."""
        before = self.data.before
        if self._checkpoint is None or before is None:
            return notes
        weights = self._checkpoint.best()
        notes.known_before = transfer_weights(self.model, weights, before, self.scope)
        self.best = self._weights()
        notes.best_ndcg = float(ndcg_at_10(self._ranks()).mean())
        return notes

    def run(self) -> Trained:
        """Train until it no longer gets better, or the time is over."""
        now = time.perf_counter()
        began = now - self.notes.seconds  # an interrupted training's time counts
        deadline = now + self.settings.minutes * 60 if self.settings.minutes else np.inf
        stopped = self._done()
        while not stopped:
            stopped = self._done() if self._epoch(began, deadline) else "minutes"
            if self._checkpoint:
                self._checkpoint.write(self.notes, self.model, self.best, self.adam, self.scope)
        self.model.load_state_dict(self.best)
        self.model.kind = torch.float32
        if self.model.text_width:
            self._weigh_new_content()
        self.model.eval()
        return Trained(
            model=self.model,
            epochs=self.notes.epoch,
            best_epoch=self.notes.best_epoch,
            best_ndcg=self.notes.best_ndcg,
            seconds=round(time.perf_counter() - began, 1),
            bfloat16=self.notes.bfloat16,
            stopped=stopped,
            known_before=self.notes.known_before,
        )

    def _done(self) -> str:
        notes = self.notes
        if notes.epoch and notes.epoch - notes.best_epoch >= self.settings.patience:
            return "patience"
        return "epochs" if notes.epoch >= self.settings.epochs else ""

    def _epoch(self, began: float, deadline: float) -> bool:
        """One pass and its validation; False where the time ended in its middle.

        Everything drawn depends on seed and epoch alone, so an interrupted training goes on as if
        it had not been. Only how large a step is depends on the clock, once half the time is over.
        """
        epoch = self.notes.epoch + 1
        torch.manual_seed(self.settings.seed * 100_003 + epoch)
        rng = np.random.default_rng((self.settings.seed, epoch))
        total, events, complete = 0.0, 0, True
        self.model.train()
        with self._progress(f"epoch {epoch}", len(self.data.windows)) as advance:
            for batch, targets in self.data.windows.batches(
                self.settings.batch_users, self.settings.batch_events, rng
            ):
                if time.perf_counter() > deadline:
                    complete = False
                    break
                self._set_rate(deadline)
                total += self._step(batch, targets, rng) * len(targets)
                events += len(targets)
                advance(len(batch.lengths))
        # An epoch that was cut short counts too: the smallest steps are the best ones.
        if events or not self.notes.epoch:
            self._validate(epoch, total / max(events, 1), began)
        return complete

    def _set_rate(self, deadline: float) -> None:
        """Adam's step, which falls in a straight line to 0 in the second half of the minutes.

        Without that the weights wander about the best ones (Hägele et al. 2024, arXiv:2405.18392).
        """
        left = deadline - time.perf_counter()
        falling = 60 * self.settings.minutes * (1.0 - _FALLS_FROM)
        share = min(1.0, max(left, 0.0) / falling) if falling else 1.0
        for group in self.adam.param_groups:
            group["lr"] = self.settings.learning_rate * share

    def _step(self, batch: Batch, targets: torch.Tensor, rng: np.random.Generator) -> float:
        drawn = self.sampler.draw(rng).to(self.device)
        loss = next_item_loss(
            self.model, self.items, batch.to(self.device), targets.to(self.device), drawn
        )
        self.adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), _LONGEST_STEP)
        self.adam.step()
        return float(loss.detach())

    def _validate(self, epoch: int, loss: float, began: float) -> None:
        notes, ranks = self.notes, self._ranks()
        ndcg = float(ndcg_at_10(ranks).mean())
        better = ndcg > notes.best_ndcg
        if better:
            notes.best_ndcg, notes.best_epoch = ndcg, epoch
            self.best = self._weights()
        notes.epoch, notes.seconds = epoch, time.perf_counter() - began
        self._on_epoch(
            Epoch(
                epoch=epoch,
                loss=loss,
                ndcg_at_10=ndcg,
                hit_at_10=float((ranks <= TOP).mean()),
                best=better,
                seconds=round(notes.seconds, 1),
            )
        )

    def _ranks(self) -> Ints:
        """Of each held-out item among the whole catalogue."""
        return model_ranks(self.model, self.items, *self._asked)

    def _weigh_new_content(self) -> None:
        weight = new_content_weight(self.model, self.items, *self._asked)
        torch.nn.init.constant_(self.model.new_content, weight)

    @property
    def _asked(self) -> tuple[Sequences, Cases, int, bool]:
        """What is held out, and how it is asked for."""
        data = self.data
        return data.sequences, data.validation, self.settings.length, self.mask_seen

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}


def training_key(data: TrainingData, settings: TrainSettings) -> str:
    """Changes with the events, the catalogue and every setting that changes what is learned."""
    lasting = msgspec.structs.replace(
        settings, minutes=0.0, epochs=1, patience=1, keep=1, min_validation_shoppers=1
    )
    digest = hashlib.sha256(msgspec.json.encode(lasting))
    sequences = data.sequences
    for column in (sequences.at, sequences.items, sequences.types, sequences.times):
        digest.update(column.tobytes())
    digest.update(data.windows.stops.tobytes())
    digest.update("\n".join(data.catalogue.ids).encode("utf-8", "surrogatepass"))
    for texts in (data.catalogue.texts, data.catalogue.queries):
        digest.update(b"" if texts is None else texts.tobytes())
    for name, of in data.catalogue.modalities.items():
        digest.update(name.encode() + of.vectors.tobytes() + of.known.tobytes())
    return digest.hexdigest()
