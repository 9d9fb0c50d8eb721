"""tokens.py: texts -> what a tokenizer takes of them, and how much of it the tokenizer knows."""

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from tokenizers import Tokenizer

from indexes.errors import Failure

_PICTURES = ("So", "Cn", "Co")  # emoji, also such as are newer than Python's tables
_CHARACTERS_A_TOKEN = 64  # texts are cut to this many characters a token
_CHARACTERS = 2000  # of each text: enough to see which language it is in


def readable(text: str, max_tokens: int) -> str:
    """The text as a tokenizer takes it: no lone surrogates, no more than the model can read."""
    return text[: max_tokens * _CHARACTERS_A_TOKEN].encode("utf-8", "replace").decode("utf-8")


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
    rows = [encoding.ids for encoding in tokenizer.encode_batch(cut, add_special_tokens=False)]
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
