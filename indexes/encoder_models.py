"""encoder_models.py: a model's name -> loaded modules that turn texts into vectors."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from indexes.errors import Failure
from indexes.model_folders import model_digest, model_folder

Vectors = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]

_CHARACTERS_A_TOKEN = 64  # texts are cut to this many characters a token before tokenizing


def readable(text: str, max_tokens: int) -> str:
    """The text as a tokenizer takes it: no lone surrogates, no more than the model can read."""
    return text[: max_tokens * _CHARACTERS_A_TOKEN].encode("utf-8", "replace").decode("utf-8")


class Model:
    """A loaded model: tokenizing, batches by token length, vectors of length 1."""

    def __init__(
        self,
        modules: Any,
        fingerprint: str,
        prompts: tuple[str, str],
        dimensions: int | None,
        batch_tokens: int,
    ) -> None:
        self.modules = modules
        self.fingerprint = fingerprint
        self.query_prompt = prompts[0] or _own_prompt(modules, "query")
        self.document_prompt = prompts[1] or _own_prompt(modules, "document", "passage", "corpus")
        self.dimensions = _dimensions(modules, dimensions)
        self.batch_tokens = batch_tokens
        self.max_tokens = int(modules.max_seq_length or 512)

    def batches(
        self, texts: Iterable[str], prompt: str, window: int
    ) -> Iterator[tuple[Positions, Vectors]]:
        """Positions and vectors, batch after batch; each window is sorted by token length."""
        source, start = iter(texts), 0
        while found := list(islice(source, window)):
            found = [readable(text, self.max_tokens) for text in found]
            lengths = self._lengths(found, prompt)
            for rows in _by_length(lengths, self.batch_tokens):
                vectors = self._forward([found[row] for row in rows], prompt)
                yield start + rows, vectors
            start += len(found)

    def unknown_tokens(self, texts: Sequence[str]) -> tuple[int, int]:
        tokenizer = self.modules.tokenizer
        unknown = tokenizer.unk_token_id
        rows = tokenizer(
            [readable(text, self.max_tokens) for text in texts],
            add_special_tokens=False,
            truncation=True,
            max_length=self.max_tokens,
        )["input_ids"]
        return sum(row.count(unknown) for row in rows), sum(len(row) for row in rows)

    def _lengths(self, texts: list[str], prompt: str) -> Positions:
        rows = self.modules.tokenizer(
            [prompt + text for text in texts], truncation=True, max_length=self.max_tokens
        )["input_ids"]
        return np.array([len(row) for row in rows], dtype=np.int64)

    def _forward(self, texts: list[str], prompt: str) -> Vectors:
        import torch

        with torch.inference_mode():
            inputs = self.modules.preprocess(texts, prompt=prompt or None)
            device = self.modules.device
            inputs = {
                k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in inputs.items()
            }
            vectors = self.modules(inputs)["sentence_embedding"].float()
            cut = vectors[:, : self.dimensions]
            return np.asarray(torch.nn.functional.normalize(cut, dim=1).cpu().numpy())


def _by_length(lengths: Positions, batch_tokens: int) -> Iterator[Positions]:
    """Rows in batches of about `batch_tokens`, the longest first, near-equal lengths together."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size


def load_model(
    name: str,
    *,
    prompts: tuple[str, str],
    dimensions: int | None,
    dtype: str,
    batch_tokens: int,
    threads: int,
) -> Model:
    """Load a model by name or folder; Failure when it cannot be had or trusted."""
    folder = model_folder(name)
    import torch
    from sentence_transformers import SentenceTransformer

    if threads:
        torch.set_num_threads(threads)
    with _no_bars():
        modules = SentenceTransformer(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        ).eval()
    if dtype == "bfloat16" or (dtype == "auto" and _has_bfloat16()):
        modules = modules.to(torch.bfloat16)
    parts = (model_digest(folder), *prompts, str(dimensions), dtype, str(modules.max_seq_length))
    fingerprint = hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]
    return Model(modules, fingerprint, prompts, dimensions, batch_tokens)


@contextmanager
def _no_bars() -> Iterator[None]:
    """transformers draws a bar for each load; the commands have their own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _has_bfloat16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _own_prompt(modules: Any, *names: str) -> str:
    prompts: dict[str, str] = modules.prompts or {}
    for name in (*names, modules.default_prompt_name):
        if name and prompts.get(name):
            return prompts[name]
    return ""


def _dimensions(modules: Any, wanted: int | None) -> int:
    own = int(modules.get_embedding_dimension())
    if wanted is not None and wanted > own:
        raise Failure(
            f"encoder.dimensions is {wanted}, the model's vectors have {own}.",
            field="encoder.dimensions",
            hint=f"Set a number from 1 to {own}, or leave it out.",
        )
    return wanted or own
