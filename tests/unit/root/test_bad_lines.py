"""Lines that cannot be used: counted, the commonest reasons first."""

from pathlib import Path

import pytest

from indexes.errors import Failure
from indexes.readers.bad_lines import BadLine, BadLines


def test_the_commonest_reasons_with_the_first_line_of_each() -> None:
    bad = BadLines(Path("f.csv"))
    bad.add(BadLine(2, "id is missing"))
    for line in range(3, 8):
        bad.add(BadLine(line, f"price is '{line},90'; a number from 0 to 1e12 is expected"))
    assert [(reason.lines, reason.example.line) for reason in bad.commonest()] == [(5, 3), (1, 2)]
    with pytest.raises(Failure, match=r"5 x price is '3,90'.* \(line 3\); 1 x id is missing"):
        bad.check(1, 0.01)
