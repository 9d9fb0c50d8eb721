"""look_shop.py: the small shop with shirts that differ in nothing but what they look like."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from support.shop import small_shop, write_items

from indexes.build.rebuild import Summary, rebuild
from indexes.progress import silent
from indexes.storage.arrays import Vectors
from indexes.workspace import Workspace

SHIRTS: Final = [f"s{number}" for number in range(12)]  # even ones are striped, odd ones dotted
STRIPED, DOTTED = SHIRTS[::2], SHIRTS[1::2]
DIMENSIONS: Final = 8


def shirts() -> list[dict[str, Any]]:
    """Twelve items of one and the same text."""
    same = {"title": "cotton shirt", "brand": "Orm", "category": "Clothes > Shirts", "price": 20.0}
    return [{"id": item} | same for item in SHIRTS]


def look_vectors() -> dict[str, Vectors]:
    """A vector for each item: stripes and dots point two ways, all else anywhere."""
    drawn = np.random.default_rng(7)
    striped, dotted = drawn.normal(size=(2, DIMENSIONS))
    looks = {item["id"]: drawn.normal(size=DIMENSIONS) for item in small_shop()}
    for number, item in enumerate(SHIRTS):
        style = dotted if number % 2 else striped
        looks[item] = 3.0 * style + 0.2 * drawn.normal(size=DIMENSIONS)
    return {item: vector.astype(np.float32) for item, vector in looks.items()}


def vectors_file(path: Path, vectors: Mapping[str, Vectors]) -> Path:
    """Vectors by item id as `path`, which ends in .npy, beside their ids."""
    np.save(path, np.stack(list(vectors.values())))
    path.with_suffix(".ids.txt").write_text("".join(f"{item}\n" for item in vectors))
    return path


def with_vectors(home: Path, **modalities: Mapping[str, Vectors]) -> Summary:
    """Rebuild a home as the look shop with these vectors: by modality, by item id."""
    files = {
        name: str(vectors_file(home / f"{name}.npy", vectors))
        for name, vectors in modalities.items()
    }
    source = write_items(home / "looks.jsonl", [*small_shop(), *shirts()])
    return rebuild(Workspace(home), source, item_vectors=files, progress=silent)
