"""Words meet whatever the typing: width, case, accents, plurals, model numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.items.words import fold, model_numbers, stem, word_hashes, words


def test_titles_and_queries_meet() -> None:
    assert words("Red Running SHOES") == words("red running shoe")
    assert words("Crème brûlée") == words("creme brulee")
    assert words("ＦＵＬＬ width") == ["full", "width"]
    assert words("雨具 jacket") == ["雨", "具", "jacket"]
    assert words("Intel® Core™ i7, Nike℠") == ["intel", "core", "i7", "nike"]
    assert words("℡ 5") == words("tel 5")


@pytest.mark.parametrize("word", ["glass", "bus", "iris", "gas", "dv7s"])
def test_words_that_only_look_plural_stay(word: str) -> None:
    assert stem(word) == word


@pytest.mark.parametrize("text", ["WF-1000XM4", "wf1000xm4", "Sony WF-1000XM4 earbuds"])
def test_a_model_number_is_found_with_or_without_its_dash(text: str) -> None:
    assert "wf1000xm4" in model_numbers(text)


@pytest.mark.parametrize(
    "text", ["16GB", "1080p", "5000 mAh", "1440x900", "2019", "15.6 inch", "a4"]
)
def test_sizes_and_years_are_no_model_numbers(text: str) -> None:
    assert model_numbers(text) == set()


@pytest.mark.parametrize("run", ["a" * 200_000, "㌀" * 40_000, "a-" * 100_000, "1x" * 100_000])
def test_a_long_run_costs_no_more_than_its_length(run: str) -> None:
    assert len(model_numbers(run)) <= 1  # by the square of its length it would take an hour


@given(st.text())
def test_any_text_folds_once_and_for_all(text: str) -> None:
    assert [fold(word) for word in words(text)] == words(text)
    hashes = word_hashes(words(text)).tolist()
    assert hashes == sorted(set(hashes))
