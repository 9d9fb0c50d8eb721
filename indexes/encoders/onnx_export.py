"""onnx_export.py: a text encoder -> an ONNX graph that is known to give the same vectors.

BERT-family models are written by onnx_bert.py in under a second. Others go through torch's
exporter. What does not come out right is not used: serving then needs torch for that model.
"""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from indexes.encoders.batches import least_cosine
from indexes.encoders.bert_weights import BertParts, bert_parts
from indexes.encoders.models import load_modules

LEAST_COSINE: Final = 0.99
_LARGEST: Final = 1_800_000_000  # bytes of weights: an ONNX file ends at 2 GB
_LOG: Final = logging.getLogger(__name__)


def export_graph(folder: Path, tokenizer: Any, prompt: str, path: Path) -> bool:
    """Write the graph of the model in `folder`; False when none gives the model's own vectors.

    tokenizer, prompt: how texts will be read while serving, checked together with the graph.
    """
    from indexes.encoders.arithmetic import CHECK_TEXTS, ModulesForward

    modules = load_modules(folder).to("cpu")
    exact = ModulesForward(modules)
    expected = np.concatenate([exact.vectors([text], (), prompt) for text in CHECK_TEXTS])
    tokens = [row.ids for row in tokenizer.encode_batch([prompt + text for text in CHECK_TEXTS])]
    parts = bert_parts(modules)
    for eight_bits in (True, False) if parts else ():
        path.write_bytes(_bert_graph(parts, eight_bits))  # type: ignore[arg-type]  # see `if parts`
        if _same(path, tokens, expected):
            return True
    if parts is None and _traced(modules, path) and _same(path, tokens, expected):
        return True
    path.unlink(missing_ok=True)
    _LOG.warning("%s cannot be exported: queries will be encoded with torch.", folder)
    return False


def session(path: Path, threads: int) -> Any:
    """An onnxruntime session that leaves the processor to others while it waits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _bert_graph(parts: BertParts, eight_bits: bool) -> bytes:
    from indexes.encoders.onnx_bert import BertGraph

    graph = BertGraph(
        {name: value.numpy() for name, value in parts.weights.items()},
        layers=parts.layers,
        heads=parts.heads,
        epsilon=parts.epsilon,
        eight_bits=eight_bits,
    )
    return graph.build(pooling=parts.pooling, positions=parts.positions().numpy())


def _unpadded(modules: Any) -> Any:
    """The model as a function from token ids (n, t) to unit vectors (n, d)."""
    import torch

    class Unpadded(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.modules_ = modules

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            return torch.nn.functional.normalize(self.modules_(inputs)["sentence_embedding"])

    return Unpadded().eval()


def _traced(modules: Any, path: Path) -> bool:
    """Let torch's exporter write the graph. It is slow, talks much, and knows not every model."""
    import torch

    if sum(weight.numel() for weight in modules.parameters()) * 4 > _LARGEST:
        return False
    try:
        with _quiet(), torch.inference_mode(False), torch.no_grad():
            torch.onnx.export(
                _unpadded(modules),
                (torch.ones(2, 7, dtype=torch.long),),
                str(path),
                input_names=["ids"],
                output_names=["vectors"],
                dynamic_shapes={"ids": {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}},
                dynamo=True,
                external_data=False,
            )
    except Exception as error:  # the exporter raises whatever it met
        _LOG.info("export failed: %s", error)
        return False
    return path.is_file()


def _same(path: Path, tokens: list[list[int]], expected: Any) -> bool:
    """Whether onnxruntime runs the graph, and to the model's vectors."""
    try:
        running = session(path, 1)
        rows = [running.run(None, {"ids": np.array([row], dtype=np.int64)})[0] for row in tokens]
    except Exception as error:  # onnxruntime's own kinds, which share no other base
        _LOG.info("the exported graph does not run: %s", error)
        return False
    return least_cosine(np.concatenate(rows), expected) >= LEAST_COSINE


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of what the exporter prints, logs or warns of."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(nowhere),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
