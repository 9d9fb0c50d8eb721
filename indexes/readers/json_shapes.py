"""json_shapes.py: a JSON value that holds rows (hits, a bulk body, an envelope) -> these rows."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from indexes.readers.bad_lines import BadLine, OnBad
from indexes.readers.file_forms import FileForm, Row, folded_name

# Under which an object keeps its rows, the likeliest first.
_HOLDERS: Final = (
    *("products", "items", "hits", "docs", "documents", "records", "rows", "entries", "results"),
    *("events", "requests", "rankings", "judgments", "data", "result", "response", "value"),
    *("values", "list", "nodes", "edges", "objects", "content", "catalog", "catalogue", "feed"),
)
_ACTIONS: Final = ("index", "create", "update", "delete")
# What an envelope may say beside its rows, folded.
_ABOUT: Final = frozenset(
    (
        *("took", "timedout", "shards", "scrollid", "hits", "total", "count", "size", "page"),
        *("pages", "next", "previous", "offset", "limit", "ok", "status", "success", "meta"),
        *("version", "generated", "generatedat", "links", "pagination", "nextpage", "error"),
    )
)
_EDGE: Final = frozenset(("node", "cursor", "__typename"))  # of a GraphQL connection
_DEPTH: Final = 4


class Opener:
    """Opens what holds the rows of one file."""

    def __init__(self, required: Sequence[str], on_bad: OnBad, form: FileForm) -> None:
        self._required, self._on_bad, self._form = required, on_bad, form
        # In a bulk body, the action that waits for its source, and its line.
        self._action: tuple[int, str, Row] | None = None
        self._places: set[str] = set()  # where rows were before: an empty list there has none

    def is_plain(self, value: Any) -> bool:
        """Whether a first line is a row as it stands, or nothing that can be opened."""
        if isinstance(value, list):
            return not value or not all(isinstance(part, dict) for part in value)
        return not isinstance(value, dict) or self._shape(value) == "row"

    def rows(self, number: int, value: Any) -> Iterator[tuple[int, Row]]:
        """The rows that a value holds."""
        if self._action is not None:
            yield from self._bulk_source(number, value)
        elif isinstance(value, list):
            for part in value:
                yield from self.rows(number, part)
        elif not isinstance(value, dict):
            self._on_bad(BadLine(number, "an object is expected"))
        else:
            yield from self._opened(number, value)

    def _opened(self, number: int, value: Row) -> Iterator[tuple[int, Row]]:
        shape = self._shape(value)
        if shape == "row":
            if not self._is_empty_page(value):
                yield number, value
        elif shape == "hit":
            self._form.assume("Elasticsearch hits: rows are their _source, with _id as id")
            yield number, _hit(value)
        elif shape == "action":
            self._form.assume("an Elasticsearch bulk body: action and source in turns")
            [(name, action)] = value.items()
            if name != "delete":  # which has no source after it
                self._action = (number, name, action)
        elif shape == "node":
            yield from self.rows(number, value["node"])
        elif shape == "wrapped":
            [(name, row)] = value.items()
            self._form.assume(f"each row is in {name!r} of an object around it")
            yield number, row
        else:
            inside, rows = _rows_inside(value)
            self._form.assume(f"rows are in {inside!r} of an object around them")
            self._places.add(inside)
            for row in rows:
                yield from self.rows(number, row)

    def _bulk_source(self, number: int, value: Any) -> Iterator[tuple[int, Row]]:
        assert self._action is not None
        (line, name, action), self._action = self._action, None
        if isinstance(value, dict) and self._shape(value) == "action":
            if number == line + 1:  # else what stood between them was reported already
                self._on_bad(BadLine(line, f"no source follows the action {name!r}"))
            yield from self._opened(number, value)
            return
        if not isinstance(value, dict):
            self._on_bad(BadLine(number, f"an object is expected after the action {name!r}"))
            return
        source = value.get("doc", value.get("upsert", value)) if name == "update" else value
        yield number, _hit({"_id": action.get("_id"), "_source": source})

    def _shape(self, value: Row) -> str:
        """What an object is: row, hit, action, node, wrapped, envelope."""
        if isinstance(value.get("_source"), dict):
            return "hit"
        if len(value) == 1:
            [(name, inside)] = value.items()
            if name in _ACTIONS and isinstance(inside, dict) and _all_marked(inside):
                return "action"
            if isinstance(inside, dict) and name != "node" and self._is_wrapped(value, inside):
                return "wrapped"
        if isinstance(value.get("node"), dict) and value.keys() <= _EDGE:
            return "node"
        return "envelope" if self._is_envelope(value) else "row"

    def _is_wrapped(self, value: Row, inside: Row) -> bool:
        """Whether the required columns are not here, but all inside."""
        return bool(
            self._required
            and self._form.missing(self._required, list(value))
            and not self._form.missing(self._required, list(inside))
        )

    def _is_empty_page(self, value: Row) -> bool:
        """Whether the rows of this object would stand where others had them, and there are none."""
        return any(_at(value, place) == [] for place in self._places)

    def _is_envelope(self, value: Row) -> bool:
        """Whether an object only goes round its rows.

        Where columns have other usual names (items) it may say more, such as the shop's name; other
        rows have arrays of objects themselves, so it may say no more than how many there are.
        """
        names = list(value)
        inside, rows = _rows_inside(value)
        if not rows or (self._required and not self._form.missing(self._required, names)):
            return False
        if not self._form.names:
            rest = {folded_name(name) for name in names} - {folded_name(inside.partition(".")[0])}
            return inside.rpartition(".")[2] in _HOLDERS and rest <= _ABOUT
        fields = [name for name in self._form.names if self._form.column(name, names) is not None]
        return not fields or folded_name(inside.partition(".")[0]) in _HOLDERS


def _at(value: Any, place: str) -> Any:
    """What stands at a place such as hits.hits; None where there is none."""
    for name in place.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _all_marked(action: Row) -> bool:
    """Whether all names are those of an action's own: _index, _id, routing, ..."""
    return all(name.startswith("_") or name in ("routing", "retry_on_conflict") for name in action)


def _hit(value: Row) -> Row:
    """The source of a hit with the hit's id, unless it names one itself."""
    source: Row = value["_source"] if isinstance(value["_source"], dict) else {}
    if source.get("id") in (None, "") and value.get("_id") is not None:
        return {"id": value["_id"], **{k: v for k, v in source.items() if k != "id"}}
    return source


def _rows_inside(value: Row, depth: int = 0) -> tuple[str, list[Any]]:
    """Where in an object its rows are ("hits.hits"), and they; "" and none where it holds none."""
    lists = {name: part for name, part in value.items() if _is_rows(part)}
    by_fold = {folded_name(name): name for name in reversed(lists)}
    holder = next((by_fold[name] for name in _HOLDERS if name in by_fold), None)
    if holder is None and len(lists) == 1:
        holder = next(iter(lists))
    if holder is not None:
        return holder, lists[holder]
    if depth < _DEPTH:
        for name, part in value.items():
            if isinstance(part, dict):
                inside, rows = _rows_inside(part, depth + 1)
                if rows:
                    return f"{name}.{inside}", rows
    return "", []


def _is_rows(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and all(isinstance(row, dict) for row in part)
