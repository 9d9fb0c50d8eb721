"""A job's progress, for whoever started it."""

from pathlib import Path

import msgspec
import pytest

from indexes.progress import PROGRESS_FILE, bars


def test_a_job_keeps_its_progress_in_the_file_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "progress.json"
    monkeypatch.setenv(PROGRESS_FILE, str(file))
    with bars("evaluate", 3, "queries") as done:
        assert msgspec.json.decode(file.read_bytes()) == {
            "stage": "evaluate",
            "done": 0,
            "total": 3,
        }
        done(1)
        done(2)
        assert msgspec.json.decode(file.read_bytes())["done"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_nothing_is_written_where_nobody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PROGRESS_FILE, raising=False)
    monkeypatch.chdir(tmp_path)
    with bars("evaluate", 1) as done:
        done(1)
    assert not list(tmp_path.iterdir())
