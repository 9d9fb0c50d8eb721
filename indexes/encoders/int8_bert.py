"""int8_bert.py: token ids of many texts -> vectors, in 8-bit arithmetic and without padding.

Every linear layer multiplies 8-bit integers: weights scaled per output channel, tokens each by
their own largest value, so no text's vector depends on its neighbours. The few columns of an
input that run far above the others would cost these their precision: they stay in float32.
Texts lie end to end, sorted by length; attention runs on each run of equal lengths at once.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

import torch
from torch.nn.functional import layer_norm, normalize

from indexes.encoders.bert_weights import BertParts

Tensor = torch.Tensor
Reached = Mapping[str, Tensor]  # the largest magnitude in each column of a linear layer's input

_INPUTS: Final = (
    "attention.self.query",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
_LOUD_COLUMNS: Final = 8
_GELU_DEPTH: Final = 0.17  # GELU never goes below -0.17
_TINY: Final = 1e-8


def watched_inputs(parts: BertParts) -> list[str]:
    """The linear layers for whose inputs we need to know how far each column reaches."""
    return [f"encoder.layer.{layer}.{name}" for layer in range(parts.layers) for name in _INPUTS]


class Int8Linear:
    """A linear layer in 8 bits, laid out once for the processor's integer instructions."""

    def __init__(
        self,
        matrix: Tensor,
        bias: Tensor,
        reached: Tensor,
        *,
        depth: float = 0.0,
        output: torch.dtype = torch.float32,
    ) -> None:
        """matrix (out, in); depth: how far below zero the inputs go, where that is little."""
        self._loud = reached.topk(min(_LOUD_COLUMNS, len(reached) // 8)).indices
        self._loud_weights = matrix[:, self._loud].T.to(output).contiguous()
        matrix = matrix.index_fill(1, self._loud, 0.0)
        self._scale = matrix.abs().amax(1).clamp_(min=_TINY) / 127
        rounded = (matrix / self._scale[:, None]).round().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(rounded, [1024, matrix.shape[1]])
        self._zeros = torch.zeros(len(matrix), dtype=torch.int32)
        sums = self._scale * rounded.sum(1)
        # Signed tokens come as 0..255 for -128..127: this takes the 128 out of the sums again.
        self._shift = torch.zeros_like(sums) if depth else -128 * sums
        self.bias = bias - depth * sums
        self._depth, self._floor = depth, torch.full((matrix.shape[1],), -128.0)
        self._output = output

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Products (t, out), each row (t, 1) still to be multiplied by its step; then the bias."""
        levels, step = self._one_sided(x) if self._depth else self._two_sided(x)
        tokens = levels.round_().to(torch.int8).view(torch.uint8).bitwise_xor_(128)
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            tokens, 1.0, 0, self._packed, self._scale, self._zeros, self._shift,
            1.0, 0, self._output, "none", [], "",
        )  # fmt: skip
        loud = (x[:, self._loud] / step).to(self._output)
        return product.addmm_(loud, self._loud_weights), step

    def _two_sided(self, x: Tensor) -> tuple[Tensor, Tensor]:
        levels = x.abs().index_fill_(1, self._loud, 0.0)
        step = levels.amax(1, keepdim=True).clamp_(min=_TINY).div_(127)
        torch.mul(x, 1 / step, out=levels)
        return levels.index_fill_(1, self._loud, 0.0), step

    def _one_sided(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Twice as fine, for inputs that hardly go below zero."""
        levels = (x + self._depth).index_fill_(1, self._loud, 0.0)
        step = levels.amax(1, keepdim=True).clamp_(min=_TINY).div_(255)
        return torch.addcmul(self._floor, levels, 1 / step, out=levels), step


class _Layer:
    """One transformer layer: tokens (t, d) in and out."""

    def __init__(
        self, parts: BertParts, layer: int, reached: Reached, attention: torch.dtype
    ) -> None:
        prefix = f"encoder.layer.{layer}."
        weights = {
            name.removeprefix(prefix): value
            for name, value in parts.weights.items()
            if name.startswith(prefix)
        }
        mixing, joining, growing, shrinking = (reached[prefix + name] for name in _INPUTS)
        self.heads, self.epsilon = parts.heads, parts.epsilon
        self.mix = Int8Linear(*_mixing(weights, parts), mixing, output=attention)
        join, join_bias = _linear(weights, "attention.output.dense")
        # Attention weights sum to 1, so the values' bias passes through; the keys' has no effect.
        join_bias = join_bias + join @ weights["attention.self.value.bias"]
        self.join = Int8Linear(join, join_bias, joining)
        self.grow = Int8Linear(*_linear(weights, "intermediate.dense"), growing)
        self.shrink = Int8Linear(*_linear(weights, "output.dense"), shrinking, depth=_GELU_DEPTH)
        self.middle_norm = _linear(weights, "attention.output.LayerNorm")
        self.end_norm = _linear(weights, "output.LayerNorm")

    def __call__(self, x: Tensor, runs: Sequence[tuple[int, int]], exact: bool) -> Tensor:
        mixed, step = self.mix(x)
        seen, step = self.join(self._attention(mixed, step.to(mixed.dtype), runs, exact))
        x = torch.add(x, self.join.bias).addcmul_(seen, step)
        x = layer_norm(x, x.shape[1:], *self.middle_norm, self.epsilon)
        wide, step = self.grow(x)
        torch.addcmul(self.grow.bias, wide, step, out=wide)
        torch.ops.aten.gelu_(wide)
        narrow, step = self.shrink(wide)
        x = torch.add(x, self.shrink.bias).addcmul_(narrow, step)
        return layer_norm(x, x.shape[1:], *self.end_norm, self.epsilon)

    def _attention(
        self, mixed: Tensor, step: Tensor, runs: Sequence[tuple[int, int]], exact: bool
    ) -> Tensor:
        """What each token sees (t, d), from queries, keys and values (t, 3d) side by side."""
        width = mixed.shape[1] // 3
        size = width // self.heads
        seen = torch.empty(len(mixed), width)
        bias = self.mix.bias[:width].to(mixed.dtype).view(1, self.heads, 1, size)
        start = 0
        for texts, length in runs:
            end = start + texts * length
            shape = (texts, self.heads, length, size)
            parts = mixed[start:end].view(texts, length, 3, self.heads, size).permute(2, 0, 3, 1, 4)
            by = step[start:end].view(texts, 1, length, 1)
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

    def __init__(self, parts: BertParts, reached: Reached, bfloat16: bool) -> None:
        attention = torch.bfloat16 if bfloat16 else torch.float32
        self._words = parts.weights["embeddings.word_embeddings.weight"]
        self._positions = parts.positions()
        self._norm = _linear(parts.weights, "embeddings.LayerNorm")
        self._layers = [_Layer(parts, layer, reached, attention) for layer in range(parts.layers)]
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


def _linear(weights: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _mixing(weights: Mapping[str, Tensor], parts: BertParts) -> tuple[Tensor, Tensor]:
    """Queries, keys and values as one matrix (3d, d); the queries' 1/sqrt(head size) is in it."""
    query, key, value = (
        _linear(weights, f"attention.self.{name}") for name in ("query", "key", "value")
    )
    scale = (parts.width // parts.heads) ** -0.5
    matrix = torch.cat([query[0] * scale, key[0], value[0]])
    return matrix, torch.cat([query[1] * scale, key[1], value[1]])
