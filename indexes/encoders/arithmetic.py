"""arithmetic.py: loaded modules -> the fastest arithmetic that keeps their vectors.

Whatever is chosen has first encoded a few fixed texts; it is taken only if every vector has a
cosine of at least 0.995 to float32's.
"""

import copy
import logging
import time
from typing import Any, Final

import numpy as np
import torch

from indexes.encoders.batches import Tokens, least_cosine, max_tokens
from indexes.encoders.bert_weights import BertParts, bert_parts
from indexes.encoders.int8_bert import Int8Linear, PackedBert, watched_inputs
from indexes.errors import Failure
from indexes.storage.arrays import Vectors

LEAST_COSINE: Final = 0.995
_SLOW_SECONDS: Final = 0.02  # a small integer product takes 0.0001 s, without fast kernels 0.1 s
_LOG: Final = logging.getLogger(__name__)

CHECK_TEXTS: Final = (
    'Apple iPhone 15 Pro Max 256 GB, titanium black - 6.7" OLED, 5G (MU793ZD/A)',
    "red running shoes for women, size 38",
    "",
    "a",
    "Shampoo 250 ml: gentle cleansing for dry, color-treated hair. Use daily; rinse well!",
    "USB-C to HDMI adapter 4K@60Hz; 100-240 V ~ 50/60 Hz; IP67; RoHS",
    "Büromöbel höhenverstellbarer Schreibtisch 120×60 cm, Gestell weiß",
    "你好,世界 - 无线耳机 蓝牙 5.3 降噪",
    "1234567890 (0x1F) £49.99 / 30% off",
    "dvd cd-r 700mb 52x 80min 50er spindel printable",
    "The quick brown fox jumps over the lazy dog. " * 6,
)


class ModulesForward:
    """Any model, by its own sentence-transformers modules, padded to the longest of a batch."""

    def __init__(self, modules: Any) -> None:
        self.modules = modules
        self.max_tokens = max_tokens(modules)
        self.name = str(next(modules.parameters()).dtype).removeprefix("torch.")

    def tokens(self, texts: list[str]) -> Tokens:
        tokenized = self.modules.tokenizer(texts, truncation=True, max_length=self.max_tokens)
        rows: Tokens = tokenized["input_ids"]
        return rows

    @torch.inference_mode()
    def vectors(self, texts: list[str], tokens: Tokens, prompt: str) -> Vectors:
        if tokens and not len(tokens[0]):  # the longest of the batch: nothing to read in any
            return np.zeros((len(texts), self.modules.get_embedding_dimension()), dtype=np.float32)
        inputs = self.modules.preprocess(texts, prompt=prompt or None)
        device = self.modules.device
        moved = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in inputs.items()
        }
        vectors = self.modules(moved)["sentence_embedding"].float().cpu().numpy()
        return np.asarray(vectors, dtype=np.float32)


class PackedForward:
    """A BERT-family model in 8-bit arithmetic; see int8_bert.py."""

    name = "int8"

    def __init__(self, modules: Any, bert: PackedBert) -> None:
        from tokenizers import Tokenizer

        self._bert = bert
        self._tokenizer: Any = Tokenizer.from_str(modules.tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens(modules))

    def tokens(self, texts: list[str]) -> Tokens:
        return [row.ids for row in self._tokenizer.encode_batch_fast(texts)]

    @torch.inference_mode()
    def vectors(self, _texts: list[str], tokens: Tokens, _prompt: str) -> Vectors:
        return np.asarray(self._bert(tokens).numpy())


def choose(modules: Any, dtype: str) -> ModulesForward | PackedForward:
    """The arithmetic that the setting `dtype` asks for. Modules come in float32 if checked."""
    exact = ModulesForward(modules)
    if dtype in ("float32", "bfloat16"):
        return exact  # loaded as asked, and taken as it is
    on_processor = modules.device.type == "cpu"
    parts = bert_parts(modules) if on_processor else None
    expected, highest = _reference(exact, parts)
    if parts and (dtype == "int8" or _integers_are_fast()):
        packed = PackedForward(modules, PackedBert(parts, highest, has_bfloat16()))
        if _close(packed, expected):
            return packed
    if dtype == "int8":
        raise Failure(
            'encoder.dtype is "int8", and in 8 bits this model does not keep its vectors.',
            field="encoder.dtype",
            hint='Set "auto", which takes the fastest arithmetic that does.',
        )
    if has_bfloat16() if on_processor else torch.cuda.is_bf16_supported():
        half = ModulesForward(copy.deepcopy(modules).to(torch.bfloat16))
        if _close(half, expected):
            return half
    return exact


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; without, it is slower than float32."""
    return bool({"avx512_bf16", "amx_bf16"} & _processor_flags())


def _processor_flags() -> set[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return set(next((line for line in lines if line.startswith("flags")), "").split())
    except OSError:
        return set()


def _integers_are_fast() -> bool:
    """Whether this torch and this processor have 8-bit kernels: by trying, after asking."""
    if not {"avx512_vnni", "avx_vnni", "amx_int8"} & _processor_flags():
        return False
    try:
        linear = Int8Linear(torch.randn(256, 256), torch.zeros(256), torch.ones(256))
        tokens = torch.randn(32, 256)
        linear(tokens)
        began = time.thread_time()  # not the clock: others may be using the processor
        linear(tokens)
        return time.thread_time() - began < _SLOW_SECONDS
    except (AttributeError, RuntimeError) as error:  # another torch may lack the kernels
        _LOG.warning("8-bit encoding is not available here: %s", error)
        return False


def _reference(
    exact: ModulesForward, parts: BertParts | None
) -> tuple[Vectors, dict[str, torch.Tensor]]:
    """float32's vectors of the fixed texts, and how high the inputs of linear layers went."""
    highest: dict[str, torch.Tensor] = {}

    def watch(name: str, inputs: torch.Tensor) -> None:
        reached = inputs.abs().flatten(0, -2).amax(0)
        highest[name] = torch.maximum(highest.get(name, reached), reached)

    hooks = []
    for name in watched_inputs(parts) if parts else ():
        module = parts.model.get_submodule(name)  # type: ignore[union-attr]  # parts: see above
        hooks.append(
            module.register_forward_pre_hook(
                lambda _module, inputs, name=name: watch(name, inputs[0])
            )
        )
    try:
        return np.concatenate([exact.vectors([text], (), "") for text in CHECK_TEXTS]), highest
    finally:
        for hook in hooks:
            hook.remove()


def _close(forward: ModulesForward | PackedForward, expected: Vectors) -> bool:
    """Whether this arithmetic gives float32's vectors, nearly enough, for every fixed text."""
    texts = list(CHECK_TEXTS)
    vectors = forward.vectors(texts, forward.tokens(texts), "")
    least = least_cosine(vectors, expected)
    if least >= LEAST_COSINE:  # false for NaN, too
        return True
    _LOG.warning(
        "%s bends this model's vectors (cosine %.4f, at least %.3f is asked): not used.",
        forward.name, least, LEAST_COSINE,
    )  # fmt: skip
    return False
