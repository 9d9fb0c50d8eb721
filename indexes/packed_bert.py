"""packed_bert.py: token ids of many texts -> vectors, in 8-bit arithmetic and without padding.

Every linear layer multiplies 8-bit integers: weights scaled per output channel, tokens each by
their own largest value, so no text's vector depends on its neighbours. The columns that a
LayerNorm lets run high are evened out first, half into the weights (SmoothQuant); the few loudest
columns of the widest layer stay in float32. Texts lie end to end, sorted by length; attention
runs on each run of equal lengths at once, in bfloat16.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

import torch
from torch.nn.functional import layer_norm, normalize

from indexes.bert_parts import BertParts

Tensor = torch.Tensor
Scale = Mapping[str, Tensor]  # the largest magnitude each column of a linear layer's input reached

_EVENED: Final = {"attention.self.query": 0.65, "intermediate.dense": 0.5}  # measured, MiniLM
_LOUD: Final = "output.dense"  # one column here reaches 20 times the others, at the ends of a text
_LOUD_COLUMNS: Final = 4
_LEVELS: Final = 127.0
_GELU_DEPTH: Final = 0.17  # GELU never goes below -0.17
_TINY: Final = 1e-8


def watched_inputs(parts: BertParts) -> list[str]:
    """The linear layers whose inputs are treated by column: their maxima are to be measured."""
    names = (*_EVENED, _LOUD)
    return [f"encoder.layer.{layer}.{name}" for layer in range(parts.layers) for name in names]


class Int8Linear:
    """A matrix (out, in) in 8 bits, laid out once for the processor's integer instructions."""

    def __init__(self, matrix: Tensor, output: torch.dtype = torch.float32) -> None:
        scale = matrix.abs().amax(1).clamp_(min=_TINY) / _LEVELS
        rounded = (matrix / scale[:, None]).round().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(rounded, [1024, matrix.shape[1]])
        self._scale = scale / _LEVELS
        # Tokens come as 0..255 for -128..127; this takes the shift of 128 out again.
        self._shift = -128.0 * self._scale * rounded.sum(1)
        self._zeros = torch.zeros(len(scale), dtype=torch.int32)
        self._output = output

    def __call__(self, tokens: Tensor) -> Tensor:
        """Products (t, out), each row still to be multiplied by its token's largest value."""
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            tokens, 1.0, 0, self._packed, self._scale, self._zeros, self._shift,
            1.0, 0, self._output, "none", [], "",
        )  # fmt: skip
        return product


class _Layer:
    """One transformer layer. x comes in and goes out divided by the next linear's evening."""

    def __init__(
        self, parts: BertParts, layer: int, highest: Scale, attention: torch.dtype
    ) -> None:
        weights = {
            name.removeprefix(f"encoder.layer.{layer}."): value
            for name, value in parts.weights.items()
            if name.startswith(f"encoder.layer.{layer}.")
        }
        self.heads, self.epsilon, width = parts.heads, parts.epsilon, parts.width
        mix, grow = _mixing(weights, width, parts.heads), weights["intermediate.dense.weight"]
        self.before = _evening(layer, "attention.self.query", mix, highest)
        self.between = _evening(layer, "intermediate.dense", grow, highest)
        self.mix = Int8Linear(mix * self.before, attention)
        scale = (width // parts.heads) ** -0.5
        self.query_bias = (weights["attention.self.query.bias"] * scale).to(attention)
        self.join = Int8Linear(weights["attention.output.dense.weight"])
        # Attention weights sum to 1, so the values' bias passes through; the keys' has no effect.
        self.join_bias = (
            weights["attention.output.dense.bias"]
            + weights["attention.output.dense.weight"] @ weights["attention.self.value.bias"]
        )
        self.grow = Int8Linear(grow * self.between)
        self.grow_bias = weights["intermediate.dense.bias"]
        shrink, reached = weights["output.dense.weight"], highest[f"encoder.layer.{layer}.{_LOUD}"]
        self.loud = reached.topk(min(_LOUD_COLUMNS, len(reached))).indices
        self.shrink_loud = shrink[:, self.loud].T.contiguous()
        self.shrink = Int8Linear(shrink.index_fill(1, self.loud, 0.0))
        self.shrink_bias = weights["output.dense.bias"]
        self.middle_norm = _norm(weights, "attention.output.LayerNorm", self.between)
        self.weights = weights
        self.end_norm: tuple[Tensor, Tensor] = _norm(weights, "output.LayerNorm", torch.ones(width))

    def __call__(self, x: Tensor, runs: Sequence[tuple[int, int]], exact: bool) -> Tensor:
        tokens, highest = _rounded(x)
        mixed = self.mix(tokens)
        seen = self._attention(mixed, highest.to(mixed.dtype), runs, exact)
        tokens, highest = _rounded(seen)
        x = torch.addcmul(self.join_bias, x, self.before)
        x.addcmul_(self.join(tokens), highest)
        x = layer_norm(x, x.shape[1:], *self.middle_norm, self.epsilon)
        x = self._widened(x)
        return layer_norm(x, x.shape[1:], *self.end_norm, self.epsilon)

    def _widened(self, x: Tensor) -> Tensor:
        """x plus what the wide layer makes of it."""
        tokens, highest = _rounded(x)
        wide = self.grow(tokens)
        torch.addcmul(self.grow_bias, wide, highest, out=wide)
        torch.ops.aten.gelu_(wide)
        loud = wide[:, self.loud]
        wide.index_fill_(1, self.loud, 0.0)
        tokens, highest = _rounded(wide, wide.amax(1, keepdim=True).clamp_(min=_GELU_DEPTH))
        x = torch.addcmul(self.shrink_bias, x, self.between)
        return x.addmm_(loud, self.shrink_loud).addcmul_(self.shrink(tokens), highest)

    def _attention(
        self, mixed: Tensor, highest: Tensor, runs: Sequence[tuple[int, int]], exact: bool
    ) -> Tensor:
        """What each token sees (t, d), from queries, keys and values (t, 3d) side by side."""
        width = mixed.shape[1] // 3
        size = width // self.heads
        seen = torch.empty(len(mixed), width)
        bias = self.query_bias.view(1, self.heads, 1, size)
        start = 0
        for texts, length in runs:
            end = start + texts * length
            shape = (texts, self.heads, length, size)
            parts = mixed[start:end].view(texts, length, 3, self.heads, size).permute(2, 0, 3, 1, 4)
            by = highest[start:end].view(texts, 1, length, 1)
            query, key = mixed.new_empty(2, *shape).unbind()
            torch.addcmul(bias, parts[0], by, out=query)
            torch.mul(parts[1], by, out=key)
            value = mixed.new_ones(*shape[:3], size + 1)  # the last column sums the weights up
            torch.mul(parts[2], by, out=value[..., :size])
            batch = texts * self.heads
            fit = torch.bmm(query.view(batch, length, size), key.view(batch, length, size).mT)
            weight = fit.float().softmax(-1).to(fit.dtype) if exact else fit.exp_()
            total = torch.bmm(weight, value.view(batch, length, size + 1)).view(
                *shape[:3], size + 1
            )
            out = seen[start:end].view(texts, length, self.heads, size).transpose(1, 2)
            torch.div(total[..., :size], total[..., size:], out=out)
            start = end
        return seen


class PackedBert:
    """A BERT-family encoder with mean or first-token pooling; returns unit vectors (n, d)."""

    def __init__(self, parts: BertParts, highest: Scale, bfloat16: bool) -> None:
        attention = torch.bfloat16 if bfloat16 else torch.float32
        self._words = parts.weights["embeddings.word_embeddings.weight"]
        self._positions = parts.positions()
        self._layers = [_Layer(parts, layer, highest, attention) for layer in range(parts.layers)]
        for layer, following in zip(self._layers, self._layers[1:], strict=False):
            layer.end_norm = _norm(layer.weights, "output.LayerNorm", following.before)
        self._norm = _norm(parts.weights, "embeddings.LayerNorm", self._layers[0].before)
        self._epsilon, self._mean = parts.epsilon, parts.pooling == "mean"

    def __call__(self, rows: Sequence[Sequence[int]]) -> Tensor:
        vectors = self._run(rows, exact=False)
        if not bool(torch.isfinite(vectors).all()):  # exp overflowed: take the careful softmax
            vectors = self._run(rows, exact=True)
        return vectors

    def _run(self, rows: Sequence[Sequence[int]], exact: bool) -> Tensor:
        runs = [(len(list(same)), length) for length, same in groupby(len(row) for row in rows)]
        words = self._words[torch.tensor([token for row in rows for token in row])]
        places = torch.cat([self._positions[:length].repeat(n, 1) for n, length in runs])
        x = layer_norm(words.add_(places), words.shape[1:], *self._norm, self._epsilon)
        for layer in self._layers:
            x = layer(x, runs, exact)
        pooled, start = [], 0
        for texts, length in runs:
            tokens = x[start : start + texts * length].view(texts, length, -1)
            pooled.append(tokens.mean(1) if self._mean else tokens[:, 0])
            start += texts * length
        return normalize(torch.cat(pooled))


def _mixing(weights: Mapping[str, Tensor], width: int, heads: int) -> Tensor:
    """Queries, keys and values as one matrix (3d, d); the queries' 1/sqrt(head size) is in it."""
    query, key, value = (
        weights[f"attention.self.{name}.weight"] for name in ("query", "key", "value")
    )
    return torch.cat([query * (width // heads) ** -0.5, key, value])


def _evening(layer: int, name: str, matrix: Tensor, highest: Scale) -> Tensor:
    """What each input column is divided by, its weights multiplied by."""
    share = _EVENED[name]
    inputs = highest[f"encoder.layer.{layer}.{name}"].clamp(min=1e-3)
    evening = inputs**share / matrix.abs().amax(0).clamp(min=1e-4) ** (1 - share)
    return evening / evening.median()


def _norm(weights: Mapping[str, Tensor], name: str, evening: Tensor) -> tuple[Tensor, Tensor]:
    return weights[f"{name}.weight"] / evening, weights[f"{name}.bias"] / evening


def _rounded(x: Tensor, highest: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Tokens (t, d) as 0..255, the fast kernels' input, and their largest magnitudes (t, 1)."""
    if highest is None:
        highest = x.abs().amax(1, keepdim=True).clamp_(min=_TINY)
    levels = torch.mul(x, _LEVELS / highest).round_().to(torch.int8)
    return levels.view(torch.uint8).bitwise_xor_(128), highest
