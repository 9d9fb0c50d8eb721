"""item_vectors.py: sources of vectors by item id -> the modalities of the version that is built."""

import filecmp
import shutil
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from indexes.build.image_vectors import IMAGE, MODEL
from indexes.build.settings import RebuildSettings
from indexes.encoders.settings import ImageSettings
from indexes.errors import Failure
from indexes.items.columns import ItemIds
from indexes.modalities.entries import Entry, checked_name, entries_of, modality_folder
from indexes.modalities.sources import ServedVectors, VectorSource
from indexes.modalities.vector_files import vector_file
from indexes.modalities.vectors import FILES, open_modalities
from indexes.modalities.writer import write_modality
from indexes.readers.bad_lines import BadLines
from indexes.storage.arrays import Rows
from indexes.storage.versions import Version
from indexes.workspace import Workspace

OPTION: Final = "--item-vectors"
_SETTING: Final = "rebuild.item_vectors"
_WEIGHTS: Final = "rebuild.vector_weights"
_MOST_WEIGHT: Final = 1000.0
_IDS: Final = ("ids.bin", "ids.at.npy")  # what says which row is which item
_SHOWN: Final = 3


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """One modality of a rebuild. items: how many have a vector now; without: how many have none;
    unknown: vectors whose id is no item's; bad: rows that could not be used. reused: taken over
    from the served version as it is, without reading the source."""

    source: str
    dimensions: int
    items: int
    without: int
    weight: float
    unknown: int = 0
    bad: int = 0
    reused: bool = False


class ItemVectors:
    """The modalities of one rebuild. joined: what came of each, once `write` or `unchanged` ran."""

    def __init__(
        self,
        sources: Mapping[str, VectorSource],
        weights: Mapping[str, float],
        old: Version | None,
        max_bad_share: float,
        made_here: Collection[str] = (),
    ) -> None:
        """made_here: names of those that are added later."""
        self._sources, self._old, self._max_bad_share = dict(sources), old, max_bad_share
        self._weights = weights
        self.joined: dict[str, Joined] = {}
        self.notes: list[str] = [
            f"warning: {_WEIGHTS} names {name!r}, and there are no such vectors."
            for name in weights
            if name not in self._sources and name not in made_here
        ]

    def add(self, name: str, source: VectorSource) -> None:
        """One more, which the rebuild makes itself."""
        self._sources[name] = source

    def leave_out(self, name: str, why: str) -> None:
        """Build the version without these."""
        if self._sources.pop(name, None) is None:
            return
        self.notes.append(f"warning: {name}: {why}; the version is built without these vectors.")

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the modalities are made of; equal to `identity_of` the version that holds them."""
        return {
            name: {"made_of": source.made_of, "weight": self._weight(name)}
            for name, source in sorted(self._sources.items())
        }

    def unchanged(self, version: Version) -> None:
        """The served version holds them all."""
        items = int(version.about.get("items", 0))
        for name, entry in entries_of(version.about).items():
            self.joined[name] = _reused(self._sources[name].label, entry, items)

    def write(self, staged: Path) -> dict[str, Entry]:
        """Write the files of every modality into a version; its entries in the manifest.

        Before anything is encoded: a file that does not fit is refused within seconds.
        """
        ids = ItemIds(staged)
        same_rows = self._old is not None and _same_rows(self._old.folder, staged)
        return {
            name: self._taken_over(name, staged, len(ids))
            if same_rows and self._holds(name)
            else self._joined(name, source, staged, ids)
            for name, source in sorted(self._sources.items())
        }

    def _weight(self, name: str) -> float:
        return self._weights.get(name, 1.0)

    def _holds(self, name: str) -> bool:
        """Whether the served version has these very vectors."""
        entry = entries_of(self._old.about).get(name) if self._old else None
        return entry is not None and entry.made_of == self._sources[name].made_of

    def _taken_over(self, name: str, staged: Path, items: int) -> Entry:
        assert self._old is not None
        before, folder = modality_folder(self._old.folder, name), modality_folder(staged, name)
        folder.mkdir(parents=True)
        for file in FILES:
            shutil.copyfile(before / file, folder / file)
        entry = entries_of(self._old.about)[name]
        entry = msgspec.structs.replace(entry, weight=self._weight(name))
        self.joined[name] = _reused(self._sources[name].label, entry, items)
        return entry

    def _joined(self, name: str, source: VectorSource, staged: Path, ids: ItemIds) -> Entry:
        bad = BadLines(Path(source.label), shown=_SHOWN)
        first: list[str] = []

        def rows_of(item_ids: Sequence[str]) -> Rows:
            first.extend(item_ids[: _SHOWN - len(first)])
            return ids.rows(item_ids)

        folder = modality_folder(staged, name)
        made_of = dict(source.made_of)
        if isinstance(source, ServedVectors):  # less than the file had, should it be named again
            made_of["kept"] = True
        written = write_modality(folder, len(ids), rows_of, source.batches(bad.add), bad.add)
        self._check_bad(name, source, bad, written.items + written.unknown)
        if not written.items:
            raise _meets_nothing(name, source, first, ids)
        if bad.count:
            self.notes.append(
                f"{name}: {bad.count:,} vectors of {source.label} cannot be used: {bad.reasons()}"
            )
        self.joined[name] = Joined(
            source=source.label,
            dimensions=written.dimensions,
            items=written.items,
            without=len(ids) - written.items,
            weight=self._weight(name),
            unknown=written.unknown,
            bad=bad.count,
        )
        return Entry(
            made_of=made_of,
            dimensions=written.dimensions,
            items=written.items,
            weight=self._weight(name),
        )

    def _check_bad(self, name: str, source: VectorSource, bad: BadLines, good: int) -> None:
        share = bad.count / max(bad.count + good, 1)
        if share > self._max_bad_share:
            raise Failure(
                f"{name}: {bad.count:,} of {bad.count + good:,} vectors of {source.label} cannot "
                f"be used ({share:.1%}; rebuild.max_bad_share allows {self._max_bad_share:.1%}): "
                f"{bad.reasons()}. Nothing was published.",
                field="rebuild.max_bad_share",
                hint="Mend them, or raise the setting.",
            )


def identity_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """What the modalities of a version are made of."""
    return {
        name: {"made_of": entry.made_of, "weight": entry.weight}
        for name, entry in entries_of(about).items()
    }


def item_vectors(
    workspace: Workspace, named: Mapping[str, str], old: Version | None
) -> ItemVectors:
    """What a rebuild joins: the files of this call (named), else of the settings, else what the
    served version has. An empty name of a file leaves a modality out."""
    settings = workspace.section(RebuildSettings)
    files = {
        name: (_SETTING, workspace.home / file if file else None)
        for name, file in named_files(settings.item_vectors, _SETTING).items()
    }
    files |= {name: (OPTION, Path(file) if file else None) for name, file in named.items()}
    made_here = {IMAGE} if workspace.section(ImageSettings).model else set()
    if made_here & set(files):
        raise Failure(
            f"{files[IMAGE][0]} names {IMAGE!r}, which the model of {MODEL} makes of the pictures.",
            field=files[IMAGE][0],
            hint=f"Choose another name for these vectors, or set {MODEL} to nothing.",
        )
    sources = {name: vector_file(file) for name, (_, file) in files.items() if file is not None}
    kept = {} if old is None else _served(old, besides={*files, *made_here})
    chosen = ItemVectors(
        kept | sources,
        _weights(settings.vector_weights),
        old,
        settings.max_bad_share,
        made_here,
    )
    chosen.notes += [f"{name}: no file is named; kept: {kept[name].label}." for name in kept]
    return chosen


def _served(old: Version, besides: set[str]) -> dict[str, VectorSource]:
    ids = ItemIds(old.folder)
    return {
        name: ServedVectors(vectors, old.id, ids)
        for name, vectors in open_modalities(old.folder, old.about).items()
        if name not in besides and vectors.made_of.get("by") != MODEL
    }


def named_files(entries: Sequence[str], field: str) -> dict[str, str]:
    """NAME=FILE entries -> the file of each name, "" where it is to be left out."""
    files: dict[str, str] = {}
    for entry in entries:
        name, equals, file = entry.partition("=")
        name = name.strip()
        if not equals or name in files:
            what = f"names {name!r} twice" if equals else f"is {entry!r}"
            raise Failure(
                f"{field} {what}; NAME=FILE is expected, each name once.",
                field=field,
                hint="Such as image=vectors.parquet.",
            )
        files[checked_name(name, field)] = file.strip()
    return files


def _weights(entries: Sequence[str]) -> dict[str, float]:
    weights = {}
    for name, text in named_files(entries, _WEIGHTS).items():
        try:
            weights[name] = float(text)
        except ValueError:
            weights[name] = -1.0
        if not 0 <= weights[name] <= _MOST_WEIGHT:
            raise Failure(
                f"{_WEIGHTS}: the weight of {name!r} is {text!r}; allowed are numbers from 0 to "
                f"{_MOST_WEIGHT:,.0f}.",
                field=_WEIGHTS,
                hint="Such as image=0.5.",
            )
    return weights


def _reused(label: str, entry: Entry, items: int) -> Joined:
    return Joined(
        source=label,
        dimensions=entry.dimensions,
        items=entry.items,
        without=items - entry.items,
        weight=entry.weight,
        reused=True,
    )


def _same_rows(old: Path, staged: Path) -> bool:
    """Whether two versions have the same items in the same rows."""
    return all(filecmp.cmp(old / name, staged / name, shallow=False) for name in _IDS)


def _meets_nothing(name: str, source: VectorSource, first: list[str], ids: ItemIds) -> Failure:
    own = ids.ids(np.arange(min(_SHOWN, len(ids))))
    theirs = f"its first are {', '.join(map(repr, first))}" if first else "it has none"
    return Failure(
        f"{name}: no id in {source.label} is an item's: {theirs}, and the catalogue's "
        f"{', '.join(map(repr, own))}. Nothing was published.",
        field=OPTION,
        hint="The vectors are joined by the catalogue's `id`: write that beside them; "
        f"`{OPTION} {name}=` leaves them out.",
    )
