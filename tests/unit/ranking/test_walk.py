"""The walk of one request: which files it passes, and how often it turns back."""

from pathlib import Path

import pytest
from support.shop import copy_home
from support.walk import walks


@pytest.fixture(scope="module")
def home(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(trained_home, tmp_path_factory.mktemp("walk") / "home")


def test_a_warm_request_passes_no_file_that_the_first_did_not(home: Path) -> None:
    first, second = walks(home)
    assert set(second.files) <= set(first.files)
    assert "reranker/ranking/ranking.py" in second.files and "service/api/rerank.py" in second.files
    assert len(set(second.files)) == len(second.files)


def test_every_file_is_one_of_ours_and_is_turned_back_to_less_by_a_reader(home: Path) -> None:
    first, second = walks(home)
    for walk in (first, second):
        assert {path.split("/")[0] for path in walk.files} == {"indexes", "reranker", "service"}
        assert 0 < walk.returns_of_a_reader <= walk.returns
    assert second.returns <= first.returns


def test_a_request_passes_few_files(home: Path) -> None:
    """A ceiling, a little above what there is: who adds a file raises it, and says why."""
    first, second = walks(home)
    # With what others took after a search; with the loops, of which one reads the items for all
    # signals; and in one thread: what is entered in another does not count as turning back. A value
    # that is worked out when first asked for turns back once more. Whitening, vectors kept by row
    # and an item's content have files of their own: vectors that no text made need them, too. So
    # have the counts by which processes tell whose history was written.
    assert len(first.files) <= 55 and first.returns <= 340
    assert len(second.files) <= 45 and second.returns <= 250
