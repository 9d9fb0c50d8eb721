"""template_fills.py: how many items fill each name of a template -> a warning, or a refusal."""

from collections.abc import Sequence
from typing import Final

from indexes.errors import Failure
from indexes.items.records import FIELDS, Item
from indexes.items.text import DEFAULT_TEMPLATE, ItemText

_HALF: Final = 0.5
_NAMES_SHOWN: Final = 20


class TemplateFills:
    """Counts while the catalogue is read. The template that is built in may name what is not there:
    it was chosen by nobody."""

    def __init__(self, template: ItemText) -> None:
        self._parts = [(name, ItemText(f"{{{name}}}")) for name in template.names]
        self._counts = [0] * len(self._parts)
        self.items = 0
        self.attributes: dict[str, None] = {}
        self.counts = template.template != DEFAULT_TEMPLATE

    def add(self, item: Item) -> None:
        """Count one item."""
        self.items += 1
        for at, (_, part) in enumerate(self._parts):
            self._counts[at] += bool(part.render(item))
        if len(self.attributes) < _NAMES_SHOWN:
            self.attributes.update(dict.fromkeys(item.attributes))

    def check(self, columns: Sequence[str]) -> list[str]:
        """Warnings; Failure for a column that no item has, with the columns there are."""
        if not self.counts or not self.items:
            return []
        fills = {name: count for (name, _), count in zip(self._parts, self._counts, strict=True)}
        for name, count in fills.items():
            if not count and (name not in FIELDS or len(fills) == 1):
                raise self._refusal(name, columns)
        return [
            f"The template's {{{name}}} is filled by {count:,} of {self.items:,} items."
            for name, count in fills.items()
            if count < _HALF * self.items
        ]

    def _refusal(self, name: str, columns: Sequence[str]) -> Failure:
        names = [*sorted(FIELDS - {"attributes"}), *(c for c in columns if c not in FIELDS)]
        names += [f"attributes.{attribute}" for attribute in self.attributes]
        shown = ", ".join(names[: len(FIELDS) + _NAMES_SHOWN])
        more = len(names) - len(FIELDS) - _NAMES_SHOWN
        return Failure(
            f"The template names {{{name}}}, which fills 0 of {self.items:,} items. There are: "
            f"{shown}{f' and {more} more' if more > 0 else ''}. Nothing was published.",
            field="rebuild.template",
            hint="Name one of these; a template names the file's own columns, spelled alike.",
        )
