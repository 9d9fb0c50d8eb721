"""query_encoder.py: a text encoder -> files with which a serving process encodes without torch."""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from tokenizers import Tokenizer

from indexes.encoders.batches import readable
from indexes.encoders.onnx_export import session
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import TextEncoder, load_encoder
from indexes.errors import Failure
from indexes.storage.arrays import Vectors

_PICTURES = ("So", "Cn", "Co")  # emoji, also such as are newer than Python's tables
_CHARACTERS = 2000  # of each text: enough to see which language it is in

ABOUT: Final = "encoder.json"
TOKENIZER: Final = "tokenizer.json"
GRAPH: Final = "query.onnx"
_BATCH_TOKENS: Final = 1024


def count_unknown(encoder_folder: Path, texts: Iterable[str]) -> tuple[int, int]:
    """Unknown tokens and all tokens of these texts, by the tokenizer that serves; no torch.

    Failure where the model's tokenizer is not a file of its own.
    """
    path = encoder_folder / "tokenizer.json"
    if not path.exists():
        raise Failure("This model's tokenizer runs only inside torch; its share is not known.")
    tokenizer = Tokenizer.from_file(str(path))
    unknown: Any = unknown_token(tokenizer, path)
    cut = [text[:_CHARACTERS] for text in texts]
    rows = [found.ids for found in tokenizer.encode_batch(cut, add_special_tokens=False)]
    return sum(row.count(unknown) for row in rows), sum(len(row) for row in rows)


def unknown_token(tokenizer: Any, path: Path) -> int | None:
    """The number that stands for what the tokenizer of this file does not know; None without one.

    WordPiece and WordLevel name the token, Unigram its number; byte-level BPE knows every text.
    """
    model = msgspec.json.decode(path.read_bytes(), type=_Tokenizer).model
    named = tokenizer.token_to_id(model.unk_token) if model.unk_token else None
    return model.unk_id if named is None else named


def known_share(tokenizer: Any, unknown: int | None, prompt: str, text: str) -> float:
    """Which share of a text's tokens the tokenizer knows, from 0 to 1.

    Counted are the tokens that stand for a letter, a digit or a picture; 0 where there is none of
    these, so that a text of signs alone says nothing. prompt: what the model reads before it.
    """
    encoded = tokenizer.encode(prompt + text)
    known = counted = 0
    for token, (start, stop) in zip(encoded.ids, encoded.offsets, strict=True):
        span = text[max(start - len(prompt), 0) : max(stop - len(prompt), 0)]
        if any(map(says_something, span)):
            counted += 1
            known += token != unknown
    return known / counted if counted else 0.0


def says_something(character: str) -> bool:
    """Whether it is more than punctuation, a blank or a sign such as + and $."""
    if character.isalnum():
        return True
    kind = unicodedata.category(character)
    return kind[0] in "LNM" or kind in _PICTURES


class _Model(msgspec.Struct):
    unk_token: str | None = None
    unk_id: int | None = None


class _Tokenizer(msgspec.Struct):
    """What is read of a tokenizer's file; its vocabulary may have megabytes."""

    model: _Model


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What encoder.json says."""

    fingerprint: str
    dimensions: int
    max_tokens: int
    query_prompt: str
    document_prompt: str
    runtime: str
    settings: EncoderSettings


class QueryEncoder(Protocol):
    """Encodes queries, and the texts of candidates that the index lacks."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def dimensions(self) -> int: ...
    def encode_queries(self, texts: list[str], /) -> Vectors: ...
    def encode_documents(self, texts: list[str], /) -> Vectors: ...
    def known_share(self, text: str, /) -> float: ...


class OnnxEncoder:
    """A query encoder that runs in onnxruntime. Texts of one length run together, unpadded, so
    no text's vector depends on its neighbours."""

    def __init__(self, folder: Path, about: About, threads: int) -> None:
        self.fingerprint, self.dimensions, self._about = about.fingerprint, about.dimensions, about
        self._tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
        self._unknown = unknown_token(self._tokenizer, folder / TOKENIZER)
        self._session = session(folder / GRAPH, threads)

    def encode_queries(self, texts: list[str], /) -> Vectors:
        """The vectors (n, d) of queries, each of length 1."""
        return self._encode(texts, self._about.query_prompt)

    def encode_documents(self, texts: list[str], /) -> Vectors:
        """The vectors (n, d) of item texts, each of length 1."""
        return self._encode(texts, self._about.document_prompt)

    def known_share(self, text: str, /) -> float:
        """Which share of a query's tokens the model knows, from 0 to 1; see `known_share`."""
        shown = readable(text, self._about.max_tokens)
        return known_share(self._tokenizer, self._unknown, self._about.query_prompt, shown)

    def _encode(self, texts: Sequence[str], prompt: str) -> Vectors:
        most = self._about.max_tokens
        encoded = self._tokenizer.encode_batch_fast(
            [prompt + readable(text, most) for text in texts]
        )
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        by_length: dict[int, list[int]] = {}
        for row, tokens in enumerate(encoded):
            by_length.setdefault(len(tokens), []).append(row)
        for length, rows in by_length.items():
            size = max(1, _BATCH_TOKENS // length)
            for start in range(0, len(rows), size):
                batch = rows[start : start + size]
                ids = np.array([encoded[row].ids for row in batch], dtype=np.int64)
                vectors[batch] = self._unit(self._session.run(None, {"ids": ids})[0])
        return vectors

    def _unit(self, vectors: Vectors) -> Vectors:
        if vectors.shape[1] == self.dimensions:
            return vectors
        cut = vectors[:, : self.dimensions]
        unit: Vectors = cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-12)
        return unit


def export_query_encoder(encoder: TextEncoder, folder: Path) -> None:
    """Write the files that `load_query_encoder` needs into an existing folder."""
    model = encoder.model
    about = About(
        fingerprint=encoder.fingerprint,
        dimensions=encoder.dimensions,
        max_tokens=model.max_tokens,
        query_prompt=model.query_prompt,
        document_prompt=model.document_prompt,
        runtime="onnxruntime" if _exported(encoder, folder) else "torch",
        settings=encoder.settings,
    )
    (folder / ABOUT).write_bytes(msgspec.json.format(msgspec.json.encode(about), indent=2))


def load_query_encoder(folder: Path, threads: int = 1) -> QueryEncoder:
    """The query encoder that `export_query_encoder` wrote."""
    try:
        about = msgspec.json.decode((folder / ABOUT).read_bytes(), type=About)
    except (OSError, msgspec.DecodeError) as error:
        raise Failure(
            f"{folder / ABOUT} cannot be read: {error}.",
            hint="Publish the index again: reranker rebuild --items FILE --force",
        ) from error
    if about.runtime == "torch":
        return load_encoder(msgspec.structs.replace(about.settings, threads=threads))
    return OnnxEncoder(folder, about, threads)


def _exported(encoder: TextEncoder, folder: Path) -> bool:
    """Write tokenizer and graph; False when this model cannot do without torch."""
    from indexes.encoders.onnx_export import export_graph

    model = encoder.model
    own = getattr(model.tokenizer, "backend_tokenizer", None)
    if own is None:
        return False
    tokenizer: Any = Tokenizer.from_str(own.to_str())
    tokenizer.no_padding()
    tokenizer.enable_truncation(model.max_tokens, direction=model.tokenizer.truncation_side)
    if not export_graph(model.folder, tokenizer, model.query_prompt, folder / GRAPH):
        return False
    tokenizer.save(str(folder / TOKENIZER))
    return True
