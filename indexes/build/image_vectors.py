"""image_vectors.py: the items' pictures -> vectors in a cache of their own -> a modality's batches.

A picture is known by the hash of its file: what is the same is never encoded twice, wherever it
lies, and what has changed is encoded anew.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import xxhash

from indexes.build.vector_cache import DIGEST, Digests, VectorCache
from indexes.encoders.image_encoder import ImageEncoder, load_image_encoder
from indexes.encoders.image_files import BadImage, ImageFiles
from indexes.encoders.query_encoder import export_query_encoder
from indexes.encoders.settings import ImageSettings
from indexes.items.columns import ItemColumns, ItemIds
from indexes.items.settings import ItemSettings
from indexes.modalities.entries import TOWER, entries_of, modality_folder
from indexes.modalities.writer import VectorBatch
from indexes.progress import Progress
from indexes.quoting import shown
from indexes.readers.bad_lines import OnBad
from indexes.storage.versions import Version
from indexes.workspace import Workspace

IMAGE: Final = "image"  # the modality's name
MODEL: Final = "image.model"  # the setting that asks for it
_FOLDER: Final = "image_vectors"
_CHUNK: Final = 4096


class LeftOut(msgspec.Struct):
    """Pictures that could not be used for one reason: how many, and the first of them."""

    count: int
    example: str


class ImageReport(msgspec.Struct, kw_only=True):
    """Of the items of a catalogue: how many name a picture, what became of these, and why some
    have none. named = encoded + reused + all that were left out."""

    named: int = 0
    encoded: int = 0
    reused: int = 0
    left_out: dict[str, LeftOut] = {}


class _Missing(NamedTuple):
    """A picture that has no vector yet. items: how many name it."""

    digest: bytes
    name: str
    items: int


class ImageVectors:
    """The pictures of one rebuild: a `VectorSource`, once they were scanned and encoded.

    root: of the index; vectors are kept there by model, by the hash of the file.
    """

    label: Final = "the items' pictures"

    def __init__(
        self, encoder: ImageEncoder, folder: Path, settings: ImageSettings, root: Path
    ) -> None:
        self._encoder, self._settings = encoder, settings
        self._files = ImageFiles(folder, settings)
        self._cache = VectorCache(root / _FOLDER / f"{encoder.fingerprint}.bin")
        self._missing: list[_Missing] = []
        self._digests: Digests = np.empty(0, DIGEST)
        self._staged = Path()
        self.report = ImageReport()

    @property
    def usable(self) -> bool:
        """Whether any item has a vector."""
        return bool(self._cache.known(self._digests[self._digests != b""]).any())

    def scan(self, staged: Path, items: int, progress: Progress) -> None:
        """Read the files that the items name, one after the other, for their hashes alone."""
        self._staged = staged
        columns = ItemColumns(staged)
        self._digests = np.zeros(items, DIGEST)  # zeros: no picture
        with progress("pictures", items) as advance:
            for row in range(items):
                if name := columns.item(row).image:
                    self._digests[row] = self._digest(name)
                advance(1)
        self._find_missing(columns)

    def _digest(self, name: str) -> bytes:
        self.report.named += 1
        try:
            return xxhash.xxh3_128_digest(self._files.read(name))
        except BadImage as bad:
            self._leave_out(bad.reason, name)
            return b""

    def _find_missing(self, columns: ItemColumns) -> None:
        named = np.flatnonzero(self._digests != b"")
        known = self._cache.known(self._digests[named])
        self.report.reused = int(known.sum())
        fresh = named[~known]
        digests, first, counts = np.unique(
            self._digests[fresh], return_index=True, return_counts=True
        )
        self._missing = [
            _Missing(digest, columns.item(row).image, count)
            for digest, row, count in zip(
                digests.tolist(), fresh[first].tolist(), counts.tolist(), strict=True
            )
        ]

    @property
    def made_of(self) -> dict[str, Any]:
        """What the vectors come from; equal means the same vectors."""
        return {
            "by": MODEL,
            "fingerprint": self._encoder.fingerprint,
            "content": xxhash.xxh3_128_hexdigest(self._digests.tobytes()),
        }

    def encode(self, progress: Progress) -> None:
        """Encode what has no vector; each batch is in the cache before the next begins."""
        with progress("encoding pictures", len(self._missing)) as advance:
            for start in range(0, len(self._missing), self._settings.batch):
                part = self._missing[start : start + self._settings.batch]
                self._encode(part)
                advance(len(part))
        self._cache.sync()
        self._missing = []

    def _encode(self, part: list[_Missing]) -> None:
        images, digests = [], []
        for missing in part:
            try:
                content = self._files.read(missing.name)
                if xxhash.xxh3_128_digest(content) != missing.digest.ljust(DIGEST.itemsize, b"\0"):
                    raise BadImage("changed_meanwhile")
                images.append(self._files.decoded(content))
            except BadImage as bad:
                self._leave_out(bad.reason, missing.name, missing.items)
                continue
            digests.append(missing.digest)
            self.report.encoded += missing.items
        if images:
            self._cache.append(np.array(digests, DIGEST), self._encoder.encode(images))

    def batches(self, _on_bad: OnBad) -> Iterator[VectorBatch]:
        """The vectors of all items that have one, in the order of their rows."""
        ids = ItemIds(self._staged)
        named = np.flatnonzero(self._digests != b"")
        rows = named[self._cache.known(self._digests[named])]
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            vectors = self._cache.vectors(self._digests[part])
            yield VectorBatch(ids.ids(part), vectors, part.tolist())

    def write_text_tower(self, staged: Path, old: Version | None) -> None:
        """Write the encoder of queries in the same space, where the model has one.

        It is taken over from a served version of the same model: exporting it takes a while.
        """
        if not self._encoder.reads_texts:
            return
        folder = modality_folder(staged, IMAGE) / TOWER
        folder.mkdir()
        before = _tower_of(old, self._encoder.fingerprint)
        if before is None:
            export_query_encoder(self._encoder.text_tower(), folder)
            return
        for path in before.iterdir():
            shutil.copyfile(path, folder / path.name)

    def tidy(self) -> None:
        """Let go of vectors of other models, and of pictures that no item has, once they are
        most."""
        for path in self._cache.path.parent.glob("*.bin"):
            if path != self._cache.path:
                path.unlink()
        self._cache.compact(self._digests[self._digests != b""])

    def close(self) -> None:
        """Let go of the files."""
        self._cache.close()

    def note(self) -> str | None:
        """What to say of pictures that were left out; None where all could be used."""
        left_out = self.report.left_out
        if not left_out:
            return None
        total = sum(one.count for one in left_out.values())
        reasons = ", ".join(
            f"{reason} {one.count:,} (such as {shown(one.example)})"
            for reason, one in sorted(left_out.items(), key=lambda entry: -entry[1].count)
        )
        return (
            f"warning: {total:,} of {self.report.named:,} pictures in {self._files.folder} are "
            f"left out: {reasons}. Their items are ranked without a picture."
        )

    def _leave_out(self, reason: str, name: str, items: int = 1) -> None:
        entry = self.report.left_out.setdefault(reason, LeftOut(0, name[:200]))
        entry.count += items


def image_vectors(workspace: Workspace) -> ImageVectors | None:
    """What the settings ask for; None where they name no model, and Failure where it is none."""
    settings = workspace.section(ImageSettings)
    encoder = load_image_encoder(settings)
    if encoder is None:
        return None
    folder = workspace.home / workspace.section(ItemSettings).image_folder
    return ImageVectors(encoder, folder, settings, workspace.index_root)


def _tower_of(version: Version | None, fingerprint: str) -> Path | None:
    """Where a version has the query encoder of this very model."""
    entry = entries_of(version.about).get(IMAGE) if version else None
    if version is None or entry is None or entry.made_of.get("fingerprint") != fingerprint:
        return None
    folder = modality_folder(version.folder, IMAGE) / TOWER
    return folder if folder.is_dir() else None
