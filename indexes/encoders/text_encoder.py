"""text_encoder.py: texts -> unit vectors, by the model that the settings name."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from indexes.encoders.batches import Positions
from indexes.encoders.models import Model, load_model
from indexes.encoders.settings import EncoderSettings
from indexes.storage.arrays import Vectors

WINDOW: Final = 8192  # texts sorted by length together: long enough that batches hold no padding
UNKNOWN_LIMIT: Final = 0.05


class TextEncoder:
    """Encodes items and queries into one space; every vector (d,) has length 1."""

    def __init__(self, settings: EncoderSettings, model: Model) -> None:
        self.settings = settings
        self.model = model
        self.fingerprint: str = model.fingerprint
        self.dimensions: int = model.dimensions

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """The vectors (n, d) of item texts, in their order."""
        return self._encode(texts, self.model.document_prompt)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """The vectors (n, d) of queries, in their order."""
        return self._encode(texts, self.model.query_prompt)

    def encode_batches(self, texts: Iterable[str]) -> Iterator[tuple[Positions, Vectors]]:
        """Batch after batch of item texts: positions (m,) in the stream, and vectors (m, d)."""
        yield from self.model.batches(texts, self.model.document_prompt, WINDOW)

    def unknown_shares(self, texts: Sequence[str]) -> tuple[int, int]:
        """How many tokens of these texts the model does not know, and how many there are."""
        return self.model.unknown_tokens(texts)

    def known_share(self, text: str, /) -> float:
        """Which share of a query's tokens the model knows, from 0 to 1."""
        return self.model.known_share(text)

    def _encode(self, texts: Sequence[str], prompt: str) -> Vectors:
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for positions, batch in self.model.batches(texts, prompt, WINDOW):
            vectors[positions] = batch
        return vectors


def load_encoder(settings: EncoderSettings) -> TextEncoder:
    """The encoder that the settings name; Failure says what is wrong and what mends it."""
    return TextEncoder(
        settings,
        load_model(
            settings.model,
            prompts=(settings.query_prompt, settings.document_prompt),
            dimensions=settings.dimensions,
            dtype=settings.dtype,
            batch_tokens=settings.batch_tokens,
            threads=settings.threads,
        ),
    )


def unknown_warning(unknown: int, tokens: int, of: str = "the catalogue") -> str | None:
    """What to say when the model cannot read the texts; None up to 5 % unknown tokens."""
    share = unknown / max(tokens, 1)
    if share <= UNKNOWN_LIMIT:
        return None
    return (
        f"The model's tokenizer does not know {share:.1%} of the tokens of {of}, so their meaning "
        "is lost. For other languages than English set encoder.model to a multilingual one, such "
        "as intfloat/multilingual-e5-small, "
        "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2 or BAAI/bge-m3."
    )
