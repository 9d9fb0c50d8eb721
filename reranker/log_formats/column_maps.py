"""column_maps.py: fields of ours -> columns of a table, as a person says it: rows -> events.

`user=customer_id` names a column (or a path, in JSON), `type==purchase` gives every row one value.
A column of the field's own name needs no saying. Impressions with a ranking become rankings, and so
does a row whose `items` are a whole list.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from indexes.errors import Failure
from indexes.readers.file_forms import folded_name
from reranker.events.cleaning import FIELDS
from reranker.log_formats.actions import IMPRESSION, action_type
from reranker.log_formats.translated import (
    Impression,
    Log,
    LogFormat,
    Translate,
    Translated,
    present,
)
from reranker.log_formats.values import Row, value_at

MAPPED: Final = (*sorted(FIELDS), "items")
MAP_PATTERN: Final = rf"^({'|'.join(MAPPED)})=[A-Za-z]+$"  # the plainest of what is allowed
_NEXT: Final = re.compile(rf",(?=(?:{'|'.join(MAPPED)})=)")
_OF_RANKINGS: Final = ("time", "user", "session", "query")
_APART: Final = re.compile(r"[|;,\s]+")


def read_columns(texts: tuple[str, ...]) -> dict[str, str]:
    """`user=customer_id,type==purchase` as {"user": "customer_id", "type": "=purchase"}.

    Failure names what is no field of an event, is said twice, or names no column.
    """
    columns: dict[str, str] = {}
    for part in (part for text in texts for part in _NEXT.split(text)):
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if field not in MAPPED or not equals or not column.strip("="):
            raise Failure(
                f"--map has {part!r}; FIELD=COLUMN (or FIELD==VALUE, the same for every line) is "
                f"expected, FIELD one of {', '.join(MAPPED)}.",
                field="map",
                hint="Such as --map user=customer_id,item=sku,type==purchase.",
            )
        if field in columns:
            raise Failure(f"--map names {field} twice.", field="map", hint="Leave one.")
        columns[field] = column
    return columns


def columns_needed(columns: Mapping[str, str]) -> list[str]:
    """The columns that a table must have for this map."""
    return [column for column in columns.values() if not column.startswith("=")]


def said_otherwise(translated: Translated, row: Row, columns: Mapping[str, str]) -> Translated:
    """With the fields that a person said, taken from the same row."""
    said = _fields(row, columns)
    of_ranking: Row = {name: said[name] for name in _OF_RANKINGS if name in said}
    if "ranking" in said:
        of_ranking["id"] = said["ranking"]
    return translated._replace(
        events=[event | said for event in translated.events],
        rankings=[ranking | of_ranking for ranking in translated.rankings],
        impressions=[
            seen._replace(ranking=said.get("ranking", seen.ranking), about=seen.about | of_ranking)
            for seen in translated.impressions
        ],
    )


def _fields(row: Row, columns: Mapping[str, str]) -> Row:
    """The fields of ours that a row has by these columns."""
    return present({field: _value(row, column) for field, column in columns.items()})


def _value(row: Row, column: str) -> Any:
    if column.startswith("="):
        return column[1:]
    value = value_at(row, column)
    if value is not None:
        return value
    fold = folded_name(column)
    return next((cell for name, cell in row.items() if folded_name(name) == fold), None)


def _opened(log: Log) -> Translate:
    columns = {field: field for field in MAPPED} | dict(log.columns)

    def translate(row: Row) -> Translated:
        fields = _fields(row, columns)
        word = fields.get("type")
        kind = action_type(word, log.own) if isinstance(word, str) else None
        if kind is not None:
            fields["type"] = kind
        items = fields.pop("items", None)
        if items is not None:
            return Translated(rankings=[_ranking(fields, items)])
        if kind != IMPRESSION:
            return Translated([fields])
        if fields.get("ranking") is None or fields.get("item") is None:
            return Translated(passed_over="impressions without a ranking")
        seen = Impression(fields["ranking"], fields["item"], fields.get("position"), fields)
        return Translated(impressions=[seen])

    return translate


def _ranking(fields: Row, items: Any) -> Row:
    shown = items if isinstance(items, list) else _APART.split(str(items).strip("[]() "))
    listed = [item.strip("\"'") if isinstance(item, str) else item for item in shown]
    listed = [item for item in listed if item not in (None, "")]  # but 0 is an id
    kept = {name: fields[name] for name in ("time", "user", "session", "query") if name in fields}
    name = fields.get("ranking", fields.get("id"))
    return present(
        kept
        | {
            "id": name,
            "items": list(dict.fromkeys(listed)),
        }
    )


COLUMNS: Final = LogFormat(
    "columns",
    "a table or JSON whose columns --map names",
    "columns are called as here, or as --map says",
    lambda _row: False,
    _opened,
)
