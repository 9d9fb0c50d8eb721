"""log.py: what was done to blends -> one line each in <home>/blends/log.jsonl."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from indexes.storage import durable
from reranker.blends.blend import Blend
from reranker.blends.importance import tree_count
from reranker.signals.registry import in_order

_NOT_COMPARED: Final = ("name", "version")
_LONG: Final = 160
_ABSENT: Final = object()


class LogEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """diff: against what was published then. published: whether this version is since then."""

    time: str
    who: str
    what: str  # store, publish, rollback
    name: str
    version: int
    id: str
    published: bool = False
    diff: list[str] = []


class BlendLog:
    """Append only; a line torn by a crash is passed over."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(
        self,
        what: str,
        who: str,
        name: str,
        version: int,
        version_id: str,
        published: bool,
        diff: list[str],
    ) -> None:
        """Write one line, on the disk when this returns."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = LogEntry(now, who, what, name, version, version_id, published, diff)
        begin = b"" if self._is_whole() else b"\n"  # so that a torn line takes no other with it
        durable.append_synced(self._path, begin + msgspec.json.encode(entry) + b"\n")

    def entries(self) -> list[LogEntry]:
        """Oldest first."""
        return list(self._entries())

    def published_before(self, current: str | None) -> str | None:
        """The id to go back to: what was published before, past what was rolled back already."""
        stack: list[str] = []
        for entry in self._entries():
            if entry.what == "rollback":
                while stack and stack[-1] != entry.id:
                    stack.pop()
            elif entry.published and (not stack or stack[-1] != entry.id):
                stack.append(entry.id)
        if current not in stack:
            return None
        while stack[-1] != current:  # a crash came between a switch and its line
            stack.pop()
        return stack[-2] if len(stack) > 1 else None

    def last_published(self) -> str | None:
        """The id that was published last, as far as the log knows."""
        ids = [entry.id for entry in self._entries() if entry.published]
        return ids[-1] if ids else None

    def _is_whole(self) -> bool:
        try:
            return self._path.read_bytes()[-1:] in (b"", b"\n")
        except FileNotFoundError:
            return True

    def _entries(self) -> Iterator[LogEntry]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                yield msgspec.json.decode(line, type=LogEntry)
            except msgspec.MsgspecError:
                continue


def changes(before: Blend, after: Blend) -> list[str]:
    """Every value that differs, by its path; none for the same blend under another name.

    Between kinds no weight is held against another: in curves and trees it is not on the scale of
    the signal. What is told is which signals come and go.
    """
    return list(_differences("", *_comparable(before, after)))


def _comparable(before: Blend, after: Blend) -> tuple[Any, Any]:
    old, new = _plain(before), _plain(after)
    if before.kind != after.kind:
        for fields, blend in ((old, before), (new, after)):
            del fields["signals"]
            fields.pop("curves", None)
            fields["trees"] = fields.get("trees", {}).get("model", _ABSENT)
            fields["signals"] = ", ".join(in_order(blend.signals))
    return old, new


def _plain(blend: Blend) -> dict[str, Any]:
    fields: dict[str, Any] = {"kind": blend.kind} | msgspec.to_builtins(blend)
    for name in _NOT_COMPARED:
        fields.pop(name, None)
    for curves in fields.get("curves", {}).values():
        for name, knots in curves.items():
            curves[name] = f"a curve of {len(knots['x'])} knots, {_mark(knots)}"
    if blend.trees is not None:
        count = tree_count(blend.trees)
        fields["trees"]["model"] = f"{count:,} trees, {_mark(blend.trees.model)}"
    return fields


def _mark(value: Any) -> str:
    """Eight digits that differ where the value does: knots and trees are too long to be shown."""
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:8]


def _differences(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            below = f"{path}.{key}" if path else key
            yield from _differences(below, old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif old != new and (old is not _ABSENT or new is not _ABSENT):
        yield f"{path}: {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "(none)"
    if isinstance(value, dict) and "weight" in value:
        return f"{value['weight']:g}"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."
