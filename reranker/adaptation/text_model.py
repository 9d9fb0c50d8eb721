"""text_model.py: texts -> unit vectors with gradients, of a model whose first layers are frozen.

Where only the last layers learn, what the others make of a text never changes. It is worked out
once for each text and kept in a mapped file, in half precision; each step of learning begins there.
Texts of similar length go through the model together, so that little of it is padding.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from indexes.encoders.arithmetic import has_bfloat16
from indexes.progress import Progress, silent
from indexes.storage.arrays import Ints, Vectors

_TOGETHER: Final = 2_048  # tokens at once where nothing is learned
_ENOUGH: Final = 512  # tokens from which on texts of other lengths go apart
_TOKENIZED: Final = 1_024  # texts at once
_SPREAD: Final = 1.125  # length of the longest to the shortest that go together
_CHECKED: Final = 16  # texts
_SAME: Final = 0.999  # least cosine to the whole model's vectors with which activations are used


class TextModel:
    """A sentence-transformers model and the texts that it reads, by number.

    layers: how many of the last ones will learn; 0: all, and no activations are kept. kept: the
    empty file for them. Vectors have length 1.
    """

    def __init__(
        self,
        modules: Any,
        texts: Sequence[str],
        layers: int,
        kept: IO[bytes],
        progress: Progress = silent,
    ) -> None:
        self.modules = modules.eval()
        self.device: torch.device = modules.device
        self._half = self.device.type == "cuda" or has_bfloat16()
        self._stack = transformer_layers(modules)
        self._texts = texts
        self._tokens = self._tokenized(texts)
        self._lengths = np.array([len(tokens) for tokens in self._tokens], np.int64)
        self._kept: _Kept | None = None
        frozen = len(self._stack) - layers
        if layers and frozen > 0 and len(texts):
            self._keep(frozen, kept, progress)

    def another(self, modules: Any) -> "TextModel":
        """Another model that reads the same texts, and learns nothing."""
        return TextModel(modules, self._texts, 0, io.BytesIO())

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def keeps_activations(self) -> bool:
        """Whether the frozen layers are passed over."""
        return self._kept is not None

    def vectors(self, numbers: Ints) -> torch.Tensor:
        """Vectors (n, d) of these texts, with gradients where they are on."""
        batches = list(batches_of(self._lengths[numbers], _ENOUGH, _SPREAD))
        with self._beginning_later():
            vectors = torch.cat([self._forward(numbers[batch]) for batch in batches])
        places = np.argsort(np.concatenate(batches), kind="stable")
        return vectors[torch.from_numpy(places).to(self.device)]

    def encoded(self, numbers: Ints, progress: Progress = silent, stage: str = "") -> Vectors:
        """The same without gradients, and of many texts."""
        vectors = np.zeros((len(numbers), 0), np.float32)
        self.modules.eval()
        with progress(stage, len(numbers)) as done, torch.no_grad(), self._beginning_later():
            for batch in batches_of(self._lengths[numbers], _TOGETHER):
                part = self._forward(numbers[batch]).cpu().numpy()
                if not vectors.size:
                    vectors = np.zeros((len(numbers), part.shape[1]), np.float32)
                vectors[batch] = part
                done(len(batch))
        return vectors

    def _forward(self, numbers: Ints) -> torch.Tensor:
        inputs = self._inputs(numbers)
        if self._kept is not None:
            self._kept.take(numbers, inputs["attention_mask"].bool())
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
            vectors: torch.Tensor = self.modules(inputs)["sentence_embedding"]
        return functional.normalize(vectors.float(), dim=1)

    def _inputs(self, numbers: Ints) -> dict[str, Any]:
        padded = self.modules.tokenizer.pad(
            {"input_ids": [self._tokens[number] for number in numbers.tolist()]},
            return_tensors="pt",
        )
        inputs = {name: value.to(self.device) for name, value in padded.items()}
        return {**inputs, "modality": "text"}

    def _tokenized(self, texts: Sequence[str]) -> list[list[int]]:
        tokens: list[list[int]] = []
        for at in range(0, len(texts), _TOKENIZED):
            inputs = self.modules.preprocess(list(texts[at : at + _TOKENIZED]))
            for row, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
                tokens.append(row[mask.bool()].tolist())
        return tokens

    def _keep(self, frozen: int, file: IO[bytes], progress: Progress) -> None:
        """Activations after the frozen layers; none where vectors do not come out as before."""
        checked = np.arange(min(_CHECKED, len(self)))
        whole = self.encoded(checked)
        hidden: list[torch.Tensor] = []
        hook = self._stack[frozen - 1].register_forward_hook(
            lambda _layer, _inputs, output: hidden.append(_first(output))
        )
        passing = {number: _Passing() for number in range(frozen, len(self._stack))}
        kept: _Kept | None = None
        try:
            with progress("layers", len(self)) as done, torch.no_grad(), self._layers(passing):
                for batch in batches_of(self._lengths, _TOGETHER):
                    self._forward(batch)
                    made = hidden.pop()
                    if kept is None:
                        kept = _Kept(file, self._lengths, made.shape[-1], frozen)
                    kept.put(batch, made[self._inputs(batch)["attention_mask"].bool()])
                    done(len(batch))
        finally:
            hook.remove()
        self._kept = kept
        if not (self.encoded(checked) * whole).sum(1).min() >= _SAME:
            self._kept = None

    def _beginning_later(self) -> Any:
        return self._layers(self._kept.layers if self._kept else {})

    @contextmanager
    def _layers(self, others: Mapping[int, nn.Module]) -> Iterator[None]:
        """With other layers in these places of the stack."""
        before = {number: self._stack[number] for number in others}
        for number, layer in others.items():
            self._stack[number] = layer
        try:
            yield
        finally:
            for number, layer in before.items():
                self._stack[number] = layer


class _Kept:
    """What the frozen layers make of each text, in a file: float16 (tokens, width). layers: what
    takes their places in the stack."""

    def __init__(self, file: IO[bytes], lengths: Ints, width: int, frozen: int) -> None:
        self._at = np.append(0, np.cumsum(lengths))
        shape = (int(self._at[-1]), width)
        self._file = np.memmap(file, np.float16, "w+", shape=shape)
        self._given = _Given()
        self.layers: dict[int, nn.Module] = {number: _Passing() for number in range(1, frozen)}
        self.layers[0] = self._given

    def put(self, numbers: Ints, activations: torch.Tensor) -> None:
        """activations: of all tokens of these texts (tokens, width), text after text."""
        flat = activations.half().cpu().numpy()
        ends = np.cumsum(self._at[numbers + 1] - self._at[numbers])
        for number, part in zip(numbers.tolist(), np.split(flat, ends[:-1]), strict=True):
            self._file[self._at[number] : self._at[number + 1]] = part

    def take(self, numbers: Ints, mask: torch.Tensor) -> None:
        """Lay out what is kept of these texts by the mask of their tokens (n, length)."""
        spans = [self._file[self._at[n] : self._at[n + 1]] for n in numbers.tolist()]
        flat = torch.from_numpy(np.concatenate(spans)).to(mask.device)
        given = flat.new_zeros(*mask.shape, flat.shape[1])
        given[mask] = flat
        self._given.activations = given.float()


class _Passing(nn.Module):
    """A layer that changes nothing."""

    def forward(self, hidden: torch.Tensor, *_inputs: Any, **_named: Any) -> torch.Tensor:
        return hidden


class _Given(nn.Module):
    """A layer that answers with what is kept, whatever it is asked."""

    activations: torch.Tensor

    def forward(self, *_inputs: Any, **_named: Any) -> torch.Tensor:
        return self.activations


def transformer_layers(modules: Any) -> nn.ModuleList:
    """The longest stack of layers of a model; empty where it has none."""
    stacks = [module for module in modules.modules() if isinstance(module, nn.ModuleList)]
    return max(stacks, key=len, default=nn.ModuleList())


def batches_of(lengths: Ints, most: int, spread: float = 0.0) -> Iterator[Ints]:
    """Places (m,) of texts that go together, the longest first, padding counted to `most` tokens.

    spread: beyond so many tokens only texts that are shorter than the longest by more than this
    factor begin another batch; 0: every text does.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    for end in range(1, len(order)):
        longest = max(1, int(lengths[order[start]]))
        full = (end + 1 - start) * longest > most
        if full and int(lengths[order[end]]) * spread < longest:
            yield order[start:end]
            start = end
    if len(order):
        yield order[start:]


def _first(output: Any) -> torch.Tensor:
    tensor: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return tensor
