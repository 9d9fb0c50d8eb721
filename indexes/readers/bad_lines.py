"""bad_lines.py: lines that cannot be used -> their count, the first, the commonest reasons."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from indexes.errors import Failure

NOT_UTF8: Final = "is not valid UTF-8"  # how the reason of a line in another encoding ends
SAY_ENCODING: Final = "If the file is in another encoding, `--encoding NAME` says which."
_SHOWN: Final = 20
_KINDS: Final = 1000  # different reasons that are counted
# Of a reason: what was quoted or counted differs from line to line, what is wrong does not.
_VALUES: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|0x[0-9a-f]+|\d+(?:[.,]\d+)*")


class BadLine(NamedTuple):
    """A line that cannot be used. line: counts from 1 in the file (in Parquet: the row)."""

    line: int
    reason: str


OnBad = Callable[[BadLine], object]


class Reason(NamedTuple):
    """Why many lines cannot be used: how many, and the first of them."""

    lines: int
    example: BadLine


@dataclass
class BadLines:
    """What could not be used of one file. first: at most `shown` lines, in the file's order."""

    path: Path
    shown: int = _SHOWN
    count: int = 0
    first: list[BadLine] = field(default_factory=list)
    _kinds: Counter[str] = field(default_factory=Counter)
    _examples: dict[str, BadLine] = field(default_factory=dict)

    def add(self, bad: BadLine) -> None:
        """Note one line."""
        self.count += 1
        if len(self.first) < self.shown:
            self.first.append(bad)
        kind = _VALUES.sub("*", bad.reason)
        if kind in self._examples or len(self._examples) < _KINDS:
            self._kinds[kind] += 1
            self._examples.setdefault(kind, bad)

    def commonest(self, most: int = 3) -> list[Reason]:
        """The commonest reasons, equal ones in the file's order, each with its first line."""
        return [
            Reason(count, self._examples[kind]) for kind, count in self._kinds.most_common(most)
        ]

    def reasons(self) -> str:
        """The commonest reasons in words: "240 x price is ... (line 2); 3 x ..."."""
        return "; ".join(
            f"{lines:,} x {bad.reason} (line {bad.line:,})" for lines, bad in self.commonest()
        )

    def check(self, good: int, max_share: float) -> None:
        """Failure when more than this share of all lines is bad."""
        lines = good + self.count
        if self.count > max_share * lines:
            raise Failure(
                f"{self.count:,} of {lines:,} lines of {self.path} are bad, more than the allowed "
                f"{max_share:.2%}: {self.reasons()}.",
                field="max_bad_share",
                hint="Mend the file, or allow more with --max-bad-share.",
            )
