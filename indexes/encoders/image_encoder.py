"""image_encoder.py: pictures -> unit vectors, by the model that the settings name."""

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from indexes.encoders.model_folders import model_digest, model_folder
from indexes.encoders.models import load_modules
from indexes.encoders.settings import EncoderSettings, ImageSettings
from indexes.encoders.text_encoder import TextEncoder, load_encoder
from indexes.errors import Failure
from indexes.storage.arrays import Vectors

_SETTING: Final = "image.model"
_FORMAT: Final = "1"  # raise it when this code makes other vectors of the same model


class ImageEncoder:
    """Encodes pictures; every vector (d,) has length 1.

    reads_texts: the model has a text tower, too, in the same space.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._modules = load_modules(folder, setting=_SETTING)
        kinds = list(getattr(self._modules, "modalities", ["text"]))
        if "image" not in kinds:
            raise Failure(
                f"{_SETTING}: {folder} reads {' and '.join(map(str, kinds))}, and no pictures.",
                field=_SETTING,
                hint="Set a sentence-transformers model that reads pictures, such as a CLIP.",
            )
        self.reads_texts = "text" in kinds
        self.dimensions = int(self._modules.get_embedding_dimension())
        parts = (_FORMAT, model_digest(folder))
        self.fingerprint = hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]

    def encode(self, images: Sequence[Any]) -> Vectors:
        """The vectors (n, d) of PIL images (n,) in RGB, in their order; NaN becomes zeros."""
        import torch

        with torch.inference_mode():
            inputs = self._modules.preprocess(list(images))
            device = self._modules.device
            moved = {
                name: value.to(device) if isinstance(value, torch.Tensor) else value
                for name, value in inputs.items()
            }
            made = self._modules(moved)["sentence_embedding"].float().cpu().numpy()
        vectors = np.asarray(made, dtype=np.float32)
        vectors = np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, 0.0)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)

    def text_tower(self) -> TextEncoder:
        """The encoder of texts that are compared with these pictures' vectors."""
        return load_encoder(EncoderSettings(model=str(self.folder), dtype="float32"))


def load_image_encoder(settings: ImageSettings) -> ImageEncoder | None:
    """The encoder that the settings name, None for no name; Failure says what mends it."""
    if not settings.model:
        return None
    if importlib.util.find_spec("PIL") is None:
        raise Failure(
            f"{_SETTING} is set, and Pillow, which reads pictures, is not installed.",
            field=_SETTING,
            hint="Install it with: pip install 'shop-reranker[images]'",
        )
    return ImageEncoder(model_folder(settings.model, _SETTING))
