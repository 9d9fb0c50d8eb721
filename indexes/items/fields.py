"""fields.py: the columns of a row -> which of them is which field of an item.

One table of the usual other names; `rebuild.columns` goes before it. A column that has a field's
own name is always that field.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from indexes.errors import Failure
from indexes.items.values import is_nothing
from indexes.readers.file_forms import Row, folded_name

# Other usual names of each field, folded, the likeliest first.
USUAL_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "id": (
        *("sku", "itemid", "productid", "handle", "objectid", "articleid", "articlenumber"),
        *("itemnumber", "variantsku", "asin", "parentasin", "docid", "uid", "uuid", "gtin", "ean"),
    ),
    "title": ("name", "productname", "producttitle", "itemname", "itemtitle", "displayname"),
    "description": (
        *("bodyhtml", "body", "productdescription", "itemdescription", "longdescription"),
        *("descriptionhtml", "htmldescription", "shortdescription", "summary"),
    ),
    "brand": (
        "vendor",
        "manufacturer",
        "brands",
        "brandname",
        "productbrand",
        "maker",
        "manufacturername",
    ),
    "category": (
        *("categories", "producttype", "categorypath", "categoryname", "productcategory"),
        *("breadcrumbs", "breadcrumb", "taxonomy", "googleproductcategory"),
    ),
    "price": (
        *("saleprice", "currentprice", "specialprice", "finalprice", "sellingprice"),
        *("regularprice", "variantprice", "listprice", "unitprice"),
    ),
    "image": (
        *("imagelink", "imageurl", "images", "imagesrc", "img", "imgurl", "mainimage"),
        *("baseimage", "thumbnail", "picture", "photo"),
    ),
    "attributes": ("specs", "specifications", "additionalattributes", "customattributes", "attrs"),
    "updated": (
        *("updatedat", "lastmodified", "lastupdated", "modified", "modifiedat", "dateupdated"),
        *("datemodified", "updatetime", "lastmod", "changedat"),
    ),
    "available": (
        *("availability", "instock", "isinstock", "isavailable", "stockstatus", "stock"),
        *("stockquantity", "stocklevel", "inventoryquantity", "inventory", "qty"),
    ),
}
_MAX_PLANS: Final = 10_000  # different sets of columns that are remembered
_NAMED: Final = 1000  # columns that are counted by name


@dataclass(slots=True)
class Plan:
    """What the columns of a row are, for all rows that have the same.

    changed: fields that are not, or not only, filled by the column of their own name, and the
    columns that are asked for each. extra: columns that are kept beside the fields.
    """

    changed: tuple[tuple[str, tuple[str, ...]], ...]
    extra: tuple[str, ...]
    rows: int = 0

    def chosen(self, row: Row) -> Row:
        """The row with fields under their own names."""
        chosen = dict(row)
        for field, columns in self.changed:
            for name in columns:
                if not is_nothing(row.get(name)):
                    chosen[field] = row[name]
                    break
        return chosen


def configured_names(columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The entries of `rebuild.columns` by field, folded; Failure for what they cannot mean."""
    configured: dict[str, tuple[str, ...]] = {}
    for entry in columns:
        field, equals, name = (part.strip() for part in entry.partition("="))
        if field not in USUAL_NAMES or not equals or not folded_name(name):
            raise Failure(
                f"rebuild.columns holds {entry!r}; 'field=column' is expected.",
                field="rebuild.columns",
                hint=f"The fields are {', '.join(USUAL_NAMES)}.",
            )
        configured[field] = (*configured.get(field, ()), folded_name(name))
    return configured


def field_names(columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The table of names with what `rebuild.columns` says before it."""
    configured = configured_names(columns)
    return {field: (*configured.get(field, ()), *others) for field, others in USUAL_NAMES.items()}


class FieldChooser:
    """Gives the rows of one file the field names of items, and counts what came from where.

    columns: entries of `rebuild.columns`. template_columns: columns to keep under their
    own names too, because the template names them.
    """

    def __init__(self, columns: Sequence[str] = (), template_columns: Iterable[str] = ()) -> None:
        self.names = field_names(columns)
        self._configured = configured_names(columns)
        self._template_columns = frozenset(template_columns)
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._sources: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {}
        self.columns: dict[str, int] = {}  # every column there is, and how many rows have it

    def plan(self, row: Row) -> Plan:
        """What the columns of this row are."""
        names = tuple(row)
        plan = self._plans.get(names)
        if plan is None:
            plan = self._plans[names] = self._planned(names)
        plan.rows += 1
        return plan

    def _planned(self, names: tuple[str, ...]) -> Plan:
        if len(self._plans) >= _MAX_PLANS:
            self._count()
            self._plans.clear()
        sources = self.sources(names)
        changed = tuple(pair for pair in sources.items() if pair[1] != (pair[0],))
        used = {columns[0] for _, columns in changed} - self._template_columns
        extra = tuple(name for name in names if name not in used and name not in self.names)
        return Plan(changed, extra)

    def sources(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The columns that can fill each field, the one that is asked first before the others."""
        key = tuple(names)
        sources = self._sources.get(key)
        if sources is None:
            if len(self._sources) >= _MAX_PLANS:
                self._sources.clear()
            sources = self._sources[key] = self._found_sources(key)
        return sources

    def _found_sources(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        by_fold: dict[str, list[str]] = {}
        for name in names:
            by_fold.setdefault(folded_name(name), []).append(name)
        sources = {}
        for field, others in self.names.items():
            configured = [
                name for fold in self._configured.get(field, ()) for name in by_fold.get(fold, ())
            ]
            own = [field] if field in names else []
            rest = [name for fold in (field, *others) for name in by_fold.get(fold, ())]
            rest = [name for name in rest if name not in self.names]
            columns = tuple(dict.fromkeys((*configured, *own, *rest)))
            if columns:
                sources[field] = columns
        return sources

    def _count(self) -> None:
        for names, plan in self._plans.items():
            for name in names:
                if name in self.columns or len(self.columns) < _NAMED:
                    self.columns[name] = self.columns.get(name, 0) + plan.rows
            plan.rows = 0

    def report(self) -> dict[str, Any]:
        """Which fields came from columns of other names, which columns are not read, and all.

        {"from": {"title": "name"}, "not_read": ["seo_keywords"], "columns": {"name": 320, ...}}
        """
        self._count()
        names = [name for name in self.columns if name]
        sources = self._found_sources(names)
        used = self._template_columns.union(columns[0] for columns in sources.values())
        renamed = {field: columns[0] for field, columns in sources.items() if columns[0] != field}
        not_read = [name for name in names if name not in used]
        return {"from": renamed, "not_read": not_read, "columns": dict(self.columns)}
