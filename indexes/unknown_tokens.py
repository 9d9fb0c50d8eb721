"""unknown_tokens.py: texts -> how many of their tokens the served model does not know."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from tokenizers import Tokenizer

from indexes.errors import Failure

_CHARACTERS = 2000  # of each text: enough to see which language it is in


def count_unknown(encoder_folder: Path, texts: Iterable[str]) -> tuple[int, int]:
    """Unknown tokens and all tokens of these texts, by the tokenizer that serves; no torch.

    Failure where the model's tokenizer is not a file of its own.
    """
    path = encoder_folder / "tokenizer.json"
    if not path.exists():
        raise Failure("This model's tokenizer runs only inside torch; its share is not known.")
    model: Any = msgspec.json.decode(path.read_bytes())["model"]
    tokenizer = Tokenizer.from_file(str(path))
    # WordPiece and WordLevel name the token, Unigram its number; byte-level BPE knows every text.
    unknown = tokenizer.token_to_id(model["unk_token"]) if model.get("unk_token") else None
    unknown = model.get("unk_id") if unknown is None else unknown
    cut = [text[:_CHARACTERS] for text in texts]
    rows = [found.ids for found in tokenizer.encode_batch(cut, add_special_tokens=False)]
    return sum(row.count(unknown) for row in rows), sum(len(row) for row in rows)
