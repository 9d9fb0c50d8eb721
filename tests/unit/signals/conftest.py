"""conftest.py: fixtures of a home with shoppers."""

from pathlib import Path

import pytest

from indexes.workspace import Workspace
from reranker.ranking.state import ServedState, load_state


@pytest.fixture(scope="module")
def home(trained_home: Path) -> Path:
    return trained_home


@pytest.fixture(scope="module")
def state(home: Path) -> ServedState:
    return load_state(Workspace(home))
