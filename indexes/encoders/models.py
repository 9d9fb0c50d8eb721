"""models.py: a model's name -> a loaded model that turns texts into unit vectors."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from indexes.encoders.batches import Forward, Positions, encode_stream, max_tokens
from indexes.encoders.model_folders import model_digest, model_folder
from indexes.encoders.tokens import known_share, readable, says_something
from indexes.errors import Failure
from indexes.storage.arrays import Vectors

_FORMAT: Final = "1"  # raise it when this code makes other vectors of the same model


class Model:
    """A loaded model: its prompts, its arithmetic, its name for what it computes."""

    def __init__(
        self,
        folder: Path,
        *,
        prompts: tuple[str, str],
        dimensions: int | None,
        dtype: str,
        batch_tokens: int,
        threads: int,
    ) -> None:
        from indexes.encoders.arithmetic import choose

        modules = load_modules(folder, half=dtype == "bfloat16")
        self.folder = folder
        self.tokenizer: Any = modules.tokenizer
        self.max_tokens = max_tokens(modules)
        self.query_prompt = prompts[0] or _own_prompt(modules, "query")
        self.document_prompt = prompts[1] or _own_prompt(modules, "document", "passage", "corpus")
        self.dimensions = _dimensions(modules, dimensions)
        on_processor = modules.device.type == "cpu"
        self._threads = _threads(threads) if on_processor else 1
        self._batch_tokens = batch_tokens if on_processor else batch_tokens * 32
        self._forward: Forward = choose(modules, dtype)
        self.fingerprint = self._fingerprint(model_digest(folder), dtype)

    @property
    def arithmetic(self) -> str:
        """What the model computes in here: int8, bfloat16 or float32."""
        return self._forward.name

    def batches(
        self, texts: Iterable[str], prompt: str, window: int
    ) -> Iterator[tuple[Positions, Vectors]]:
        """Positions in the stream and unit vectors, batch after batch."""
        batches = encode_stream(
            self._forward,
            (readable(text, self.max_tokens) for text in texts),
            prompt,
            window=window,
            batch_tokens=self._batch_tokens,
            threads=self._threads,
        )
        for positions, vectors in batches:
            cut = vectors[:, : self.dimensions]
            yield positions, cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-12)

    def unknown_tokens(self, texts: Sequence[str]) -> tuple[int, int]:
        """How many tokens of the texts the tokenizer does not know, and how many there are."""
        if not texts:
            return 0, 0
        rows = self.tokenizer(
            [readable(text, self.max_tokens) for text in texts],
            add_special_tokens=False,
            truncation=True,
            max_length=self.max_tokens,
        )["input_ids"]
        unknown = self.tokenizer.unk_token_id
        return sum(row.count(unknown) for row in rows), sum(len(row) for row in rows)

    def known_share(self, text: str) -> float:
        """Which share of a query's tokens the tokenizer knows, from 0 to 1."""
        shown = readable(text, self.max_tokens)
        own = getattr(self.tokenizer, "backend_tokenizer", None)
        if own is not None:
            return known_share(own, self.tokenizer.unk_token_id, self.query_prompt, shown)
        if not any(map(says_something, shown)):
            return 0.0
        unknown, tokens = self.unknown_tokens([shown])  # a tokenizer without places in the text
        return (tokens - unknown) / tokens if tokens else 0.0

    def _fingerprint(self, digest: str, dtype: str) -> str:
        parts = (
            _FORMAT,
            digest,
            self.query_prompt,
            self.document_prompt,
            str(self.dimensions),
            str(self.max_tokens),
            dtype,
        )
        return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]


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
    return Model(
        model_folder(name),
        prompts=prompts,
        dimensions=dimensions,
        dtype=dtype,
        batch_tokens=batch_tokens,
        threads=threads,
    )


def load_modules(folder: Path, *, half: bool = False, setting: str = "encoder.model") -> Any:
    """The sentence-transformers modules of a folder; never the network, never code of its own."""
    import torch
    from sentence_transformers import SentenceTransformer

    try:
        with _no_bars():
            return SentenceTransformer(
                str(folder),
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={
                    "use_safetensors": True,
                    "dtype": torch.bfloat16 if half else torch.float32,
                },
            ).eval()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Failure(
            f"{setting}: {folder} cannot be loaded: {reason}",
            field=setting,
            hint="It has to be a sentence-transformers model with all its files.",
        ) from error


@contextmanager
def _no_bars() -> Iterator[None]:
    """transformers draws a bar for each load; the commands have their own."""
    from transformers.utils import logging

    bars: Any = logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _threads(wanted: int) -> int:
    import torch

    return wanted or torch.get_num_threads()


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
