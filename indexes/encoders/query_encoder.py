"""query_encoder.py: a text encoder -> files with which a serving process encodes without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from tokenizers import Tokenizer

from indexes.cached import lazily
from indexes.encoders.onnx_export import session
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import TextEncoder, load_encoder
from indexes.encoders.tokens import known_share, readable, unknown_token
from indexes.errors import Failure
from indexes.storage.arrays import Vectors

ABOUT: Final = "encoder.json"
TOKENIZER: Final = "tokenizer.json"
GRAPH: Final = "query.onnx"
DOCUMENTS: Final = "documents"  # folder of what reads item texts, where queries have another
_BATCH_TOKENS: Final = 1024


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


class TwoEncoders:
    """Queries by an encoder of their own, item texts by the one that the index was made with; that
    one is loaded when first asked for.

    folder: as `export_query_encoder` wrote it for the item texts.
    """

    def __init__(self, queries: QueryEncoder, folder: Path, threads: int) -> None:
        self._queries, self._folder, self._threads = queries, folder, threads
        self.fingerprint, self.dimensions = queries.fingerprint, queries.dimensions
        self.encode_queries, self.known_share = queries.encode_queries, queries.known_share

    @lazily
    def _documents(self) -> QueryEncoder:
        return load_query_encoder(self._folder, self._threads)

    def encode_documents(self, texts: list[str], /) -> Vectors:
        """The vectors (n, d) of item texts, each of length 1."""
        return self._documents.encode_documents(texts)


def export_query_encoder(
    encoder: TextEncoder, folder: Path, of_items: TextEncoder | None = None
) -> None:
    """Write the files that `load_query_encoder` needs into an existing folder.

    of_items: what reads item texts, where another one does; its item vectors are then those that
    the queries fit.
    """
    alone = of_items is None or of_items is encoder
    model = encoder.model
    about = About(
        fingerprint=(encoder if of_items is None else of_items).fingerprint,
        dimensions=encoder.dimensions,
        max_tokens=model.max_tokens,
        query_prompt=model.query_prompt,
        document_prompt=model.document_prompt,
        runtime="onnxruntime" if _exported(encoder, folder) else "torch",
        settings=encoder.settings,
    )
    (folder / ABOUT).write_bytes(msgspec.json.format(msgspec.json.encode(about), indent=2))
    if of_items is not None and not alone:
        (folder / DOCUMENTS).mkdir()
        export_query_encoder(of_items, folder / DOCUMENTS)


def load_query_encoder(folder: Path, threads: int = 1) -> QueryEncoder:
    """The query encoder that `export_query_encoder` wrote."""
    encoder = _loaded(folder, threads)
    documents = folder / DOCUMENTS
    return TwoEncoders(encoder, documents, threads) if documents.is_dir() else encoder


def _loaded(folder: Path, threads: int) -> QueryEncoder:
    try:
        about = msgspec.json.decode((folder / ABOUT).read_bytes(), type=About)
    except (OSError, msgspec.DecodeError) as error:
        raise Failure(
            f"{folder / ABOUT} cannot be read: {error}.",
            hint="Publish the index again: reranker rebuild --items FILE --force",
        ) from error
    if about.runtime == "torch":
        encoder = load_encoder(msgspec.structs.replace(about.settings, threads=threads))
        encoder.fingerprint = about.fingerprint
        return encoder
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
