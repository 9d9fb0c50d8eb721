"""onnx_bert.py: BERT-family weights -> an ONNX graph from token ids to one unit vector a text.

A short query is bound by reading the weights from memory, so these are kept in 8 bits, with a
scale for each block of 32, and the word table in float16. A third of the time of float32 and a
cosine of 0.999 to it; docs/text-encoders.md has the numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Weights = Mapping[str, Array]

_BLOCK: Final = 32
_VECTOR: Final = "vectors"


class BertGraph:
    """Writes the graph node by node. Texts of one run have equal length, so there is no mask."""

    def __init__(
        self, weights: Weights, *, layers: int, heads: int, epsilon: float, eight_bits: bool
    ) -> None:
        self.weights, self.layers, self.heads, self.epsilon = weights, layers, heads, epsilon
        self.eight_bits = eight_bits
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def build(self, *, pooling: str, positions: Array) -> bytes:
        """The model file: input `ids` (n, t) int64, output `vectors` (n, d) float32."""
        from onnx import TensorProto, helper

        hidden = self._embeddings(positions)
        for layer in range(self.layers):
            hidden = self._layer(hidden, f"encoder.layer.{layer}")
        self._pool(hidden, pooling)
        width = int(self.weights["embeddings.word_embeddings.weight"].shape[1])
        graph = helper.make_graph(
            self.nodes,
            "text_encoder",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "t"])],
            [helper.make_tensor_value_info(_VECTOR, TensorProto.FLOAT, ["n", width])],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        file: bytes = model.SerializeToString(deterministic=True)
        return file

    def _embeddings(self, positions: Array) -> str:
        table = self.weights["embeddings.word_embeddings.weight"]
        words = self._constant("words", table.astype(np.float16) if self.eight_bits else table)
        zero, one = self._numbers("zero", [0]), self._numbers("one", [1])
        length = self._node("Shape", ["ids"], start=1, end=2)
        places = self._constant("positions", positions)
        placed = self._node("Slice", [places, zero, length, zero, one])
        looked_up = self._node("Cast", [self._node("Gather", [words, "ids"])], to=1)  # to float32
        return self._norm(self._node("Add", [looked_up, placed]), "embeddings.LayerNorm")

    def _layer(self, hidden: str, name: str) -> str:
        mixed = self._attention(hidden, f"{name}.attention.self")
        mixed = self._linear(mixed, f"{name}.attention.output.dense")
        added = self._node("Add", [hidden, mixed])
        hidden = self._norm(added, f"{name}.attention.output.LayerNorm")
        wide = self._linear(hidden, f"{name}.intermediate.dense")
        wide = self._node("Gelu", [wide])
        narrow = self._linear(wide, f"{name}.output.dense")
        return self._norm(self._node("Add", [hidden, narrow]), f"{name}.output.LayerNorm")

    def _attention(self, hidden: str, name: str) -> str:
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        matrix = np.concatenate([self.weights[f"{part}.weight"] for part in parts])
        bias = np.concatenate([self.weights[f"{part}.bias"] for part in parts])
        outputs = [f"{part}.output" for part in parts]
        self._node("Split", [self._product(hidden, name, matrix)], outputs, axis=2, num_outputs=3)
        inputs = [*outputs, self._constant(f"{name}.bias", bias)]
        return self._node(
            "MultiHeadAttention", inputs, domain="com.microsoft", num_heads=self.heads
        )

    def _linear(self, hidden: str, name: str) -> str:
        product = self._product(hidden, name, self.weights[f"{name}.weight"])
        bias = self._constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self._node("Add", [product, bias])

    def _product(self, hidden: str, name: str, matrix: Array) -> str:
        """The product with a matrix (out, in)."""
        if not self.eight_bits or matrix.shape[1] % _BLOCK:
            return self._node("MatMul", [hidden, self._constant(f"{name}.weight", matrix.T)])
        rounded, scales = _in_blocks(matrix)
        return self._node(
            "MatMulNBits",
            [
                hidden,
                self._constant(f"{name}.weight", rounded),
                self._constant(f"{name}.scale", scales),
            ],
            domain="com.microsoft",
            K=matrix.shape[1],
            N=matrix.shape[0],
            bits=8,
            block_size=_BLOCK,
            accuracy_level=4,  # tokens in 8 bits too, again block by block
        )

    def _norm(self, hidden: str, name: str) -> str:
        scale = self._constant(f"{name}.weight", self.weights[f"{name}.weight"])
        bias = self._constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self._node(
            "LayerNormalization", [hidden, scale, bias], axis=-1, epsilon=self.epsilon
        )

    def _pool(self, hidden: str, pooling: str) -> None:
        if pooling == "mean":
            axis = self._numbers("token_axis", [1])
            pooled = self._node("ReduceMean", [hidden, axis], keepdims=0)
        else:
            pooled = self._node("Gather", [hidden, self._numbers("first", 0)], axis=1)
        self._node("LpNormalization", [pooled], [_VECTOR], axis=-1, p=2)

    def _numbers(self, name: str, values: int | Sequence[int]) -> str:
        return self._constant(name, np.array(values, dtype=np.int64))

    def _constant(self, name: str, values: Array) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def _node(
        self,
        kind: str,
        inputs: list[str],
        outputs: list[str] | None = None,
        *,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        from onnx import helper

        outputs = outputs or [f"{kind}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0]


def _in_blocks(matrix: Array) -> tuple[Array, Array]:
    """A matrix (out, in) in 8 bits around 128, and the scale of each block of its rows."""
    blocks = matrix.reshape(len(matrix), -1, _BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=-1), 1e-12).astype(np.float32) / 127
    rounded = np.round(blocks / scales[..., None]) + 128
    return rounded.astype(np.uint8), scales
