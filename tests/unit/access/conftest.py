"""conftest.py: the program on a home of its own."""

from pathlib import Path

import pytest
from support.keys import Said

from service.commands.cli import run


@pytest.fixture
def reranker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    def said(*args: str) -> tuple[int, str, str]:
        status = run(["--home", str(tmp_path), *args])
        out, err = capsys.readouterr()
        return status, out, err

    return said
