"""store.py: blends <-> numbered, immutable versions in <home>/blends; one is published."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.errors import Failure
from indexes.storage import durable
from indexes.storage.versions import Version, VersionStore, exclusive
from reranker.blends.blend import DEFAULT, Blend, checked, is_built_in
from reranker.blends.files import parse, written
from reranker.blends.log import BlendLog, LogEntry, changes
from reranker.errors import Conflict, UnknownBlend
from reranker.signals.registry import SIGNALS

BLEND_FILE: Final = "blend.json"
TRAINER: Final = "reranker train"


class StoredBlend(msgspec.Struct, frozen=True):
    """One version of one blend. recommended: None unless it was tuned."""

    id: str
    name: str
    version: int
    kind: str
    author: str
    note: str
    created: str
    published: bool
    recommended: bool | None = None

    @property
    def label(self) -> str:
        """As people and `/rerank` name it: `name@version`."""
        return f"{self.name}@{self.version}"


class BlendStore:
    """Every version of every blend; a name's versions count from 1."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._versions = VersionStore(root)
        self._log = BlendLog(root / "log.jsonl")

    # Reading

    def published_or_default(self) -> tuple[Blend, int]:
        """The published blend; the built-in default is published first where there is none."""
        current = self._versions.current()
        if current is not None:
            return self._read(current)
        try:
            with self._alone("publishing the built-in blend"):
                current = self._versions.current()  # another may just have published one
                return self._read(current) if current else self._first()
        except (OSError, Failure):  # a read-only home, or another worker is doing the same
            return DEFAULT, 1

    def listed(self) -> list[StoredBlend]:
        """Every sound version, newest first."""
        current = self._versions.current()
        served = current.id if current else None
        return [
            _stored(version, version.id == served)
            for version in reversed(self._versions.versions())
            if version.about
        ]

    def names(self) -> set[str]:
        """Names of all stored blends."""
        return _names(self._versions.versions())

    def newest(self, name: str, besides: Iterable[str] = ()) -> tuple[Blend, int]:
        """The newest version of this name, published or not.

        UnknownBlend names those that are stored, and besides.
        """
        versions = self._versions.versions()
        numbered = _of(versions, name)
        if not numbered:
            raise UnknownBlend(
                f"blend is {name!r}, which does not exist; there is "
                f"{', '.join(sorted(_names(versions).union(besides)))}.",
                field="blend",
            )
        return self._read(max(numbered, key=_number)[0])

    def get(self, label: str) -> tuple[Blend, int]:
        """The blend called `name` (its newest version) or `name@version`; UnknownBlend otherwise.

        The blend has the author and the number that it was stored with.
        """
        blend, number = self._read(self._named(label))
        return msgspec.structs.replace(blend, version=number), number

    def log(self) -> list[LogEntry]:
        """Who did what, oldest first."""
        return self._log.entries()

    def diff(self, before: str, after: str) -> list[str]:
        """What differs between two blends, a line each."""
        return changes(self.get(before)[0], self.get(after)[0])

    def fitted_on(self, name: str, number: int) -> frozenset[str]:
        """Fingerprints of the requests that this version was fitted on; none unless it was."""
        for version, its_number in self._of(name):
            if its_number == number:
                return frozenset(version.about.get("fitted_on", ()))
        return frozenset()

    def previous(self) -> StoredBlend | None:
        """What `rollback` would publish; None where nothing was published before."""
        try:
            earlier = self._earlier(self._versions.current())
        except Failure:
            return None
        return next((one for one in self.listed() if one.id == earlier), None)

    def _earlier(self, current: Version | None) -> str:
        """The id of what was published before, by the log; else by the order of versions."""
        served = current.id if current else None
        # A home of before there was a log still knows what it served.
        return self._log.published_before(served) or self._versions.before(served)

    # Changing

    def save(
        self,
        blend: Blend,
        *,
        publish: bool = False,
        who: str = "",
        about: Mapping[str, Any] | None = None,
    ) -> tuple[Blend, int]:
        """Store a blend as the next version of its name.

        A blend that says which version it was made from is refused when a newer one is stored
        meanwhile: nobody's change is overwritten unseen.
        """
        checked(blend)
        parse(written(blend), f"blend {blend.name}")  # what is stored can be read back
        with self._alone(f"storing blend {blend.name}"):
            self._catch_up()
            before = self._published()
            newest = max((number for _, number in self._of(blend.name)), default=0)
            if blend.version is not None and newest > blend.version:
                raise Conflict(
                    f"Blend {blend.name!r} was made from version {blend.version}, and version "
                    f"{newest} is stored meanwhile.",
                    field="version",
                    hint=f"See `reranker blends diff {blend.name}@{blend.version} "
                    f"{blend.name}@{newest}`, and set version to {newest}.",
                )
            stored, number = self._store(blend, publish, about)
            self._note("publish" if publish else "store", who, stored, number, before)
            return stored, number

    def publish(self, label: str, *, who: str = "", expect: str | None = None) -> StoredBlend:
        """Publish a stored version. expect: id of the one that was seen as published."""
        with self._alone(f"publishing blend {label}"):
            return self._switch(self._named(label), "publish", who, expect)

    def rollback(self, *, who: str = "", expect: str | None = None) -> StoredBlend:
        """Publish what was published before; again goes one further back."""
        with self._alone("rolling back the blend"):
            earlier = self._earlier(self._versions.current())
            return self._switch(self._versions.get(earlier), "rollback", who, expect)

    def _first(self) -> tuple[Blend, int]:
        stored, number = self._store(DEFAULT, publish=True)
        self._note("publish", "reranker", stored, number, None)
        return stored, number

    def _switch(self, version: Version, what: str, who: str, expect: str | None) -> StoredBlend:
        current = self._versions.current()
        if expect is not None and current is not None and current.id != expect:
            seen = _stored(current, True)
            raise Conflict(
                f"{seen.label} was published meanwhile.",
                field="expect",
                hint="Look at it, and publish again if that is still what you want.",
            )
        self._catch_up()
        before = self._published()
        self._versions.ensure_verified(version)
        blend, number = self._read(version)
        self._versions.switch_to(version.id)
        self._note(what, who, blend, number, before, version.id)
        return _stored(version, True)

    def _catch_up(self) -> None:
        """The line that a crash between a switch and its line left out: a rollback goes by them."""
        current = self._versions.current()
        known = self._log.last_published()
        if current is None or not current.about or known in (None, current.id):
            return
        seen = _stored(current, True)
        self._log.add("publish", "", seen.name, seen.version, seen.id, True, [])

    def _published(self) -> Blend | None:
        """For what a change is held against; a damaged one must not keep its successor away."""
        try:
            current = self._versions.current()
            return self._read(current)[0] if current else None
        except Failure:
            return None

    def _note(
        self,
        what: str,
        who: str,
        blend: Blend,
        number: int,
        before: Blend | None,
        version_id: str | None = None,
    ) -> None:
        current = self._versions.current()
        if version_id is None:
            version_id = max(self._of(blend.name), key=lambda pair: pair[1])[0].id
        differs = changes(before, blend) if before else []
        published = bool(current and current.id == version_id)
        self._log.add(what, who, blend.name, number, version_id, published, differs)

    def _alone(self, purpose: str) -> AbstractContextManager[None]:
        durable.make_folder(self._root)
        return exclusive(self._root / "lock", purpose)

    def _store(
        self, blend: Blend, publish: bool, about: Mapping[str, Any] | None = None
    ) -> tuple[Blend, int]:
        number = 1 + max((number for _, number in self._of(blend.name)), default=0)
        blend = msgspec.structs.replace(blend, version=None)
        with self._versions.stage() as staged:
            (staged / BLEND_FILE).write_bytes(written(blend))
            facts = {
                "name": blend.name,
                "version": number,
                "kind": blend.kind,
                "author": blend.author,
                "note": blend.note,
            }
            self._versions.publish(staged, facts | dict(about or {}), switch=publish)
        return blend, number

    def _named(self, label: str) -> Version:
        name, _, number = label.partition("@")
        versions = self._versions.versions()
        numbered = _of(versions, name)
        if number:
            numbered = [pair for pair in numbered if str(pair[1]) == number]
        if not numbered:
            stored = [_stored(version, False).label for version in versions if version.about]
            known_labels = ", ".join(stored[:-21:-1] or ["none stored"])  # the newest 20
            raise UnknownBlend(
                f"blend is {label!r}, which does not exist; there is {known_labels}.", field="blend"
            )
        return max(numbered, key=_number)[0]

    def _of(self, name: str) -> list[tuple[Version, int]]:
        return _of(self._versions.versions(), name)

    def _read(self, version: Version) -> tuple[Blend, int]:
        self._versions.ensure_verified(version)
        path = version.folder / BLEND_FILE
        return parse(path.read_bytes(), str(path)), int(version.about["version"])


def _names(versions: Sequence[Version]) -> set[str]:
    return {str(version.about["name"]) for version in versions if version.about}


def _of(versions: Sequence[Version], name: str) -> list[tuple[Version, int]]:
    """Those of this name, with their numbers."""
    return [
        (version, int(version.about["version"]))
        for version in versions
        if version.about.get("name") == name
    ]


def _number(numbered: tuple[Version, int]) -> int:
    return numbered[1]


def _stored(version: Version, published: bool) -> StoredBlend:
    about = version.about
    return StoredBlend(
        id=version.id,
        name=str(about["name"]),
        version=int(about["version"]),
        kind=str(about.get("kind", "linear")),
        author=str(about.get("author", "")),
        note=str(about.get("note", "")),
        created=version.manifest.created if version.manifest else "",
        published=published,
        recommended=about.get("recommended"),
    )


def served_default(store: BlendStore) -> Blend | None:
    """The published blend where it weighs what was learned; None for the built-in one."""
    blend, _ = store.published_or_default()
    return blend if any(SIGNALS[name].learned for name in blend.signals) else None


def publish_default(store: BlendStore, fitted: Blend, harms: bool) -> str:
    """Store the `default` that `reranker train` fitted, and publish it unless somebody chose
    another blend, or what is served is better beyond doubt (harms); what was done.
    """
    current, number = store.published_or_default()
    own = current.name == DEFAULT.name and current.author == TRAINER
    chosen = not (own or is_built_in(current))
    made = msgspec.structs.replace(fitted, author=TRAINER)
    blend, new = store.save(made, publish=not (chosen or harms), who=TRAINER)
    if chosen:
        return (
            f"{current.name} v{number} stays published, it is somebody's choice; "
            f"{blend.name}@{new} is stored beside it"
        )
    if harms:
        return (
            f"{current.name} v{number} stays published, it is better on the held-out searches; "
            f"{blend.name}@{new} is stored beside it"
        )
    return f"{blend.name} v{new} published, with what was learned"
