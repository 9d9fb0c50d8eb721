"""file_forms.py: what a person said of a file's form, and what reading it had to assume."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MAX_WHOLE_BYTES: Final = 256 * 1024 * 1024  # of a file that cannot be read line by line


def folded_name(name: str) -> str:
    """A column's name without case, blanks, dashes and underscores: Body (HTML) is bodyhtml."""
    name = name.casefold().strip().removeprefix("g:")  # Google's feeds
    return "".join(letter for letter in name if letter.isalnum())


@dataclass
class FileForm:
    """How one file is written.

    encoding:    the name of its encoding, where somebody said it; else it is found out.
    names:       other usual names of required columns (folded), by the column that is required.
    nan_is_null: whether NaN in JSON, which data frames write for what is missing, is null.
    assumed:     what had to be assumed to read it, each in words.
    """

    encoding: str | None = None
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    nan_is_null: bool = False
    assumed: list[str] = field(default_factory=list)

    def assume(self, what: str) -> None:
        """Note an assumption, once."""
        if what not in self.assumed:
            self.assumed.append(what)

    def column(self, required: str, names: Sequence[str]) -> str | None:
        """The one of these names that stands for a required column: itself before all others."""
        if required in names:
            return required
        by_fold = {folded_name(name): name for name in reversed(names) if name}
        usual = (folded_name(required), *self.names.get(required, ()))
        return next((by_fold[name] for name in usual if name in by_fold), None)

    def missing(self, required: Sequence[str], names: Sequence[str]) -> list[str]:
        """Required columns that none of these names stands for."""
        return [name for name in required if self.column(name, names) is None]

    def renamed(self, required: Sequence[str], names: Sequence[str]) -> list[str]:
        """The names, required ones as they are expected: `Type` is type.

        Where other usual names are allowed the caller chooses itself; all stay as they are.
        """
        if self.names:
            return list(names)
        own = {self.column(name, names): name for name in required}
        return [own.get(name, name) for name in names]


Row = dict[str, Any]
