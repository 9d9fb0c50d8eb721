"""rebuild.py: catalogue file -> item texts -> item vectors -> a published version of the index."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from indexes.build.catalogue_pass import Catalogue, Rejected, Source, TextSpool, read_catalogue
from indexes.build.folding import Folding
from indexes.build.image_vectors import IMAGE, ImageReport, ImageVectors, image_vectors
from indexes.build.item_vectors import Joined, identity_of, item_vectors
from indexes.build.notes import many_alike, source_notes
from indexes.build.settings import RebuildSettings
from indexes.build.vector_cache import VectorCache
from indexes.build.vector_parts import take_parts, take_vectors
from indexes.build.vectors import encode_missing, write_vectors
from indexes.encoders.adapted import encoder_settings, query_settings
from indexes.encoders.query_encoder import export_query_encoder
from indexes.encoders.text_encoder import TextEncoder, load_encoder
from indexes.errors import Failure
from indexes.items.changes import ChangesFailure, ItemChanges
from indexes.items.columns import FORMAT, ItemIds
from indexes.items.index import ENCODER_FOLDER, VECTORS_FILE, cosine_spread, parsed_factory
from indexes.items.records import ItemReader, Unreadable
from indexes.items.settings import IndexSettings, ItemSettings
from indexes.items.text import ItemText, vectors_key
from indexes.modalities.entries import MODALITIES, Entry, entries_of
from indexes.progress import Progress, bars
from indexes.readers.file_forms import FileForm
from indexes.readers.lines import existing
from indexes.storage import durable
from indexes.storage.versions import Damaged, Version, VersionStore, exclusive
from indexes.times import TimeSettings
from indexes.workspace import Workspace


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild did. read = encoded + reused + skipped; `bad`: at most a thousand lines."""

    version: str
    read: int
    encoded: int
    reused: int
    removed: int
    skipped: int
    seconds: float
    items: int
    changed: bool
    notes: list[str]
    bad: list[dict[str, Any]]
    unknown_tokens: float
    fields: dict[str, Unreadable]  # of which values could not be read and are absent
    columns: dict[str, Any]  # {"from": {"title": "name"}, "not_read": [...]}
    item_vectors: dict[str, Joined] = {}  # by modality
    images: ImageReport | None = None  # of the items' pictures, where image.model names a model


@dataclass(frozen=True)
class RebuildOptions:
    """What is said for one rebuild alone.

    force: publish even when a guard would refuse. strict: a value that cannot be read costs its
    line. encoding: of the file, where it is not found out. vectors: a folder of parts that were
    encoded elsewhere. drive: encodes parts into a folder before anything is read, but for what a
    vector cache holds. item_vectors: files of vectors by item id, by modality; "" leaves one out.
    """

    force: bool = False
    strict: bool = False
    encoding: str | None = None
    vectors: Path | None = None
    drive: Callable[[Path, Path], None] | None = None
    item_vectors: Mapping[str, str] = field(default_factory=dict)


class _Job:
    """One rebuild: the settings and files that its steps share."""

    def __init__(
        self, workspace: Workspace, source: Path, options: RebuildOptions, progress: Progress
    ) -> None:
        self.root, self.workspace = workspace.index_root, workspace
        self.images: ImageVectors | None = None
        self.settings = workspace.section(RebuildSettings)
        self.factory = workspace.section(IndexSettings).factory
        self.encoder_settings = encoder_settings(workspace)
        self.force, self.progress = options.force, progress
        self.vectors, self.drive = options.vectors, options.drive
        self.template = ItemText(self.settings.template)
        reader = ItemReader(
            strict=options.strict,
            times=workspace.section(TimeSettings),
            columns=self.settings.columns,
            template_columns=self.template.columns,
        )
        self.notes: list[str] = []
        self.store = VersionStore(self.root)
        self.items_before = 0
        self.old = self._served()
        self.item_vectors = item_vectors(workspace, options.item_vectors, self.old)
        self.changes = ItemChanges(workspace.home, workspace.section(ItemSettings).changed_items)
        before = self.changes.folded(self.old.about) if self.old else 0
        self.read_at = time.time()
        self.folding = Folding(self.changes.since(before), self.old)
        self.source = Source(source, reader, FileForm(options.encoding), self.notes, self.folding)
        self.rejected = Rejected(self.root / "rejected.jsonl")
        for orphan in (self.root / "work").glob("*.texts"):  # a killed rebuild's; we hold the lock
            orphan.unlink()

    def _served(self) -> Version | None:
        """The served version if it is sound; a damaged one is about to be replaced."""
        try:
            old = self.store.current()
        except Damaged:
            return None
        # The guard against a sudden loss needs no more than the manifest.
        self.items_before = int(old.about.get("items", 0)) if old else 0
        return None if old is None or self.store.verify(old) else old

    def close(self) -> None:
        """Let go of open files."""
        self.rejected.close()
        if self.images is not None:
            self.images.close()

    def run(self) -> tuple[Version, Catalogue, bool, int]:
        """The published version, what was read, whether anything changed, and items removed."""
        existing(self.source.path)  # what is missing is said before an encoder is loaded
        encoder = load_encoder(self.encoder_settings)
        self.of_queries = self._query_encoder(encoder)
        self.images = image_vectors(self.workspace)
        parsed_factory(self.factory, encoder.dimensions)  # a typing error shows before the encoding
        driven = self._driven(encoder)
        with (
            self.store.stage() as staged,
            VectorCache(self._cache_path(encoder)) as cache,
        ):
            self._say_what_changed(encoder)
            for folder in (self.vectors, driven):
                if folder is not None:
                    take_parts(folder, encoder, self.settings.template, cache)
            if driven is not None:
                shutil.rmtree(driven)
            take_vectors(self.changes.vectors(cache.path.stem), cache)
            spool = TextSpool(self.root / "work" / f"{staged.name}.texts")
            try:
                catalogue = self._read(staged, cache, spool)
                alike = self._note_alike(staged, catalogue)
                self._scan_images(staged, catalogue)
                same = self._unchanged(catalogue, encoder)
                if same is not None:
                    self._encode_images()  # names again what is damaged
                    return same, replace(catalogue, fresh=0), False, 0
                removed = self._guard_removed(catalogue)
                modalities = self._write_modalities(staged)
                encode_missing(spool, encoder, cache, self.progress)
            finally:
                spool.close()
            self._write_vectors(staged, catalogue, cache)
            files = _new_folder(staged / ENCODER_FOLDER)
            export_query_encoder(self.of_queries, files, encoder)
            about = self._about(catalogue, encoder, alike)
            about[MODALITIES] = msgspec.to_builtins(modalities)
            about["cosine_spread"] = cosine_spread(
                lambda rows: cache.vectors(catalogue.texts[rows]), len(catalogue)
            )
            version = self.store.publish(staged, about)
            self._clear_changes()
            self._tidy(cache, catalogue)
        return version, catalogue, True, removed

    def _scan_images(self, staged: Path, catalogue: Catalogue) -> None:
        """Find out which pictures the items have, and which of them are new."""
        if self.images is not None:
            self.images.scan(staged, len(catalogue), self.progress)
            self.item_vectors.add(IMAGE, self.images)

    @property
    def image_notes(self) -> list[str]:
        """What is to be said of the pictures."""
        note = self.images.note() if self.images else None
        return [note] if note else []

    def _write_modalities(self, staged: Path) -> dict[str, Entry]:
        self._encode_images()
        modalities, images = self.item_vectors.write(staged), self.images
        if images is not None and IMAGE in modalities:
            images.write_text_tower(staged, self.old)
        return modalities

    def _encode_images(self) -> None:
        """Encode the new pictures; once none is left to encode, this does nothing."""
        if self.images is not None:
            self.images.encode(self.progress)
            if not self.images.usable:
                self.item_vectors.leave_out(IMAGE, "no item has a picture that can be used")

    def _query_encoder(self, encoder: TextEncoder) -> TextEncoder:
        """Another one where the shop's queries have one of their own, in the same space."""
        settings = query_settings(self.workspace)
        return encoder if settings == self.encoder_settings else load_encoder(settings)

    def _cache_path(self, encoder: TextEncoder) -> Path:
        """One file an encoder and template: change either, and all vectors are made anew."""
        key = vectors_key(encoder.fingerprint, self.settings.template)
        return self.root / "vectors" / f"{key}.bin"

    def _driven(self, encoder: TextEncoder) -> Path | None:
        """Where the parts are that somebody else encoded just now; None where nobody did."""
        if self.drive is None:
            return None
        cache = self._cache_path(encoder)
        folder = self.root / "work" / f"parts-{cache.stem}"
        durable.make_folder(folder)
        self.drive(folder, cache)
        return folder

    def _clear_changes(self) -> None:
        """Forget what the new version holds. Where that fails the version says what it holds, so
        nothing is served, or folded in, twice."""
        folding = self.folding
        if not folding.pending.fields:
            return
        self.notes.append(
            f"Of the changes since the last rebuild, {folding.taken:,} items are folded in; "
            f"{folding.left:,} values stay as the catalogue has them."
        )
        try:
            self.changes.clear(folding.pending.number)
        except ChangesFailure as failure:
            self.notes.append(f"Published, but the changes in it stay listed: {failure}")

    def _tidy(self, cache: VectorCache, catalogue: Catalogue) -> None:
        """Let go of old versions and of vectors that no current setting asks for.

        The new version is served by now: what goes wrong here is noted, and no failed rebuild.
        """
        try:
            self.store.prune(self.settings.keep)
            for path in cache.path.parent.glob("*.bin"):
                if path != cache.path:
                    path.unlink()
            cache.compact(catalogue.texts)
            if self.images is not None:
                self.images.tidy()
        except (OSError, Failure) as error:
            self.notes.append(f"Published, but what is not needed any more stays: {error}")

    def _say_what_changed(self, encoder: TextEncoder) -> None:
        old = self.old.about if self.old else {}
        if not old:
            return
        if old.get("fingerprint") != encoder.fingerprint:
            self.notes.append(
                f"The encoder changed ({old.get('model')} -> {self.encoder_settings.model}): "
                "every item is encoded again."
            )
        elif old.get("template") != self.settings.template:
            self.notes.append("The template changed: every item is encoded again.")

    def _read(self, staged: Path, cache: VectorCache, spool: TextSpool) -> Catalogue:
        rejected = self.rejected
        try:
            catalogue = read_catalogue(
                self.source, self.template, staged, cache, spool, rejected, self.progress
            )
        finally:
            rejected.close()
        share = rejected.count / (rejected.count + len(catalogue))
        if share > self.settings.max_bad_share:
            raise Failure(
                f"{rejected.count} of {rejected.count + len(catalogue)} lines of "
                f"{self.source.path} cannot be used ({share:.1%}; rebuild.max_bad_share allows "
                f"{self.settings.max_bad_share:.1%}): {rejected.reasons()}. Nothing was published.",
                field="rebuild.max_bad_share",
                hint=f"All of them are in {rejected.path}. Mend them, or raise the setting.",
            )
        self.notes.extend(source_notes(self.source))
        return catalogue

    def _note_alike(self, staged: Path, catalogue: Catalogue) -> int:
        """How many items have one and the same text; noted where they are many."""
        alike, rows = catalogue.most_alike()
        if alike_warning := many_alike(alike, len(catalogue)):
            names = ", ".join(ItemIds(staged).ids(np.asarray(rows)))
            self.notes.append(f"warning: {alike_warning} ({names}, ...)")
        return alike

    def _unchanged(self, catalogue: Catalogue, encoder: TextEncoder) -> Version | None:
        """The served version when a new one would be the same; never with --force."""
        old = self.old.about if self.old else {}
        wanted = self._identity(catalogue, encoder)
        if self.force or self.old is None or any(old.get(key) != wanted[key] for key in wanted):
            return None
        if self.folding.pending.fields:  # a version has to say that it holds them
            return None
        if IMAGE not in entries_of(old):  # perhaps because none of the pictures is any use
            self._encode_images()
        if identity_of(old) != self.item_vectors.identity:
            return None
        self.item_vectors.unchanged(self.old)
        return self.old

    def _guard_removed(self, catalogue: Catalogue) -> int:
        """How many items of the served version are gone; a Failure when suspiciously many are."""
        before = self.items_before
        shrunk = 1 - len(catalogue) / before if before else 0.0
        if shrunk > self.settings.max_shrink and not self.force:
            raise Failure(
                f"The catalogue has {len(catalogue)} items, the served index {before}: "
                f"{shrunk:.0%} fewer (rebuild.max_shrink allows {self.settings.max_shrink:.0%}). "
                "Nothing was published.",
                field="rebuild.max_shrink",
                hint="If that is meant, run the same command with --force.",
            )
        if self.old is None:
            return 0
        return int((~np.isin(ItemIds(self.old.folder).hashes, catalogue.id_hashes)).sum())

    def _write_vectors(self, staged: Path, catalogue: Catalogue, cache: VectorCache) -> None:
        path = staged / VECTORS_FILE
        zero = write_vectors(path, self.factory, catalogue.texts, cache, self.progress)
        if not len(zero):
            return
        names = ", ".join(ItemIds(staged).ids(zero[:5]))
        message = f"{len(zero)} items have a NaN or zero vector ({names})"
        if not self.force:
            raise Failure(
                f"{message}. Nothing was published.",
                hint="Look at their texts, try another encoder.model, or publish with --force: "
                "they are then ranked without their text.",
            )
        self.notes.append(f"{message}: published all the same, ranked without their text.")

    def _identity(self, catalogue: Catalogue, encoder: TextEncoder) -> dict[str, Any]:
        return {
            "content": catalogue.content,
            "fingerprint": encoder.fingerprint,
            "queries": None if self.of_queries is encoder else self.of_queries.fingerprint,
            "template": self.settings.template,
            "factory": self.factory,
            "format": FORMAT,
        }

    def _about(self, catalogue: Catalogue, encoder: TextEncoder, alike: int) -> dict[str, Any]:
        return (
            self._identity(catalogue, encoder)
            | {
                "items": len(catalogue),
                "dimensions": encoder.dimensions,
                "model": self.encoder_settings.model,
                "filled": catalogue.filled,
                "unknown_tokens": _unknown_share(encoder, catalogue),
                "alike": alike,
                "source": self.source.path.name,
            }
            | self.changes.stamp(self.folding.pending.number, self.read_at)
        )


def rebuild(
    workspace: Workspace,
    source: Path,
    *,
    force: bool = False,
    strict: bool = False,
    encoding: str | None = None,
    vectors: Path | None = None,
    drive: Callable[[Path, Path], None] | None = None,
    item_vectors: Mapping[str, str] | None = None,
    progress: Progress = bars,
) -> Summary:
    """Build the index of a catalogue and publish it, if there is anything new in it.

    The options are those of RebuildOptions.

    Raises Failure, with the served version untouched, for an unreadable or too dirty catalogue, a
    suspicious result without `force`, another rebuild at work, or a disk that does not take it.
    """
    started = time.monotonic()
    try:
        durable.make_folder(workspace.index_root)
        with exclusive(workspace.index_root / "lock", f"reranker rebuild --items {source}"):
            options = RebuildOptions(force, strict, encoding, vectors, drive, item_vectors or {})
            job = _Job(workspace, source, options, progress)
            try:
                version, catalogue, changed, removed = job.run()
            finally:
                job.close()
    except OSError as error:
        raise Failure(
            f"The rebuild stopped: {error.strerror or error} ({error.filename or workspace.home}). "
            "The served version is as it was.",
            hint="Make room or mend the permissions, then run the same command: it resumes.",
        ) from error
    return _summary(job, version, catalogue, changed, removed, time.monotonic() - started)


def _summary(
    job: _Job, version: Version, catalogue: Catalogue, changed: bool, removed: int, seconds: float
) -> Summary:
    return Summary(
        version=version.id,
        read=len(catalogue) + job.rejected.count,
        encoded=catalogue.fresh,
        reused=len(catalogue) - catalogue.fresh,
        removed=removed,
        skipped=job.rejected.count,
        seconds=round(seconds, 3),
        items=len(catalogue),
        changed=changed,
        notes=[*job.notes, *job.item_vectors.notes, *job.image_notes],
        bad=[{"line": bad.line, "reason": bad.reason} for bad in job.rejected.first],
        unknown_tokens=float(version.about.get("unknown_tokens", 0.0)),
        fields=job.source.reader.fields,
        columns=_named(job.source.reader.chooser.report()),
        item_vectors=job.item_vectors.joined,
        images=job.images.report if job.images else None,
    )


def _named(report: dict[str, Any]) -> dict[str, Any]:
    return {name: report[name] for name in ("from", "not_read")}


def _unknown_share(encoder: TextEncoder, catalogue: Catalogue) -> float:
    unknown, tokens = encoder.unknown_shares(catalogue.sample)
    return round(unknown / max(tokens, 1), 6)


def _new_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder
