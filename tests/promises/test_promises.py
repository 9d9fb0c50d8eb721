"""The table of promises: every one has a row, every test exists, the page is what was found."""

import os

import pytest
from support.paths import TESTS
from support.promise_page import PAGE, page, row
from support.promise_results import NUMBERS, Outcome, marked_tests, merged, read
from support.promise_texts import LATER, PROMISES

pytest_plugins = ["pytester"]


def test_the_page_is_what_the_results_say() -> None:
    assert PAGE.read_text() == page(read()), "run `make promises`"


def test_every_promise_has_a_row_and_every_test_exists() -> None:
    assert list(PROMISES) == list(NUMBERS) == list(range(1, 39))
    text = PAGE.read_text()
    for number in NUMBERS:
        assert f"\n| {number} | {PROMISES[number]} | " in text
        assert (row(number, {}).split(" | ")[2] == "later") == (number in LATER)
    named = {test for tests in read().values() for test in tests}
    assert named <= set(marked_tests()), "a test was renamed: run `make promises`"


def test_a_lighter_run_takes_nothing_from_a_heavier_one_unless_it_fails() -> None:
    heavy = {"6": {"t": {"outcome": "passed", "runs": 100, "date": "2026-01-01"}}}
    assert merged(heavy, {("6", "t"): Outcome(False, 5)}, "2026-02-02") == heavy
    more = merged(heavy, {("6", "t"): Outcome(False, 100)}, "2026-02-02")
    assert more["6"]["t"] == {"outcome": "passed", "runs": 100, "date": "2026-02-02"}
    bad = merged(heavy, {("6", "t"): Outcome(True, 5)}, "2026-02-02")
    assert bad["6"]["t"]["outcome"] == "failed" and "**failed**" in row(6, bad["6"])
    mended = merged(bad, {("6", "t"): Outcome(False, 1)}, "2026-03-03")
    assert mended["6"]["t"] == {"outcome": "passed", "runs": 1, "date": "2026-03-03"}
    other = merged(heavy, {("7", "u"): Outcome(False, 1)}, "2026-02-02")
    assert other["6"] == heavy["6"] and "7" in other


SHOWN = """
import pytest
from hypothesis import given, settings, strategies as st
pytestmark = pytest.mark.promise(1)
@pytest.mark.promise(2)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_cases(n): assert n
@settings(max_examples=7, database=None)
@given(st.integers())
def test_examples(n): pass
def test_said(record_property): record_property("runs", 200)
def test_fails(): assert False
def test_skipped(): pytest.skip("here")
@pytest.fixture
def broken(): raise ValueError
def test_broken(broken): pass
"""


def test_cases_examples_and_said_runs_are_counted(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = pytester.makepyfile(test_shown=SHOWN)
    pytester.makeini("[pytest]\nmarkers =\n    promise(number): shows it\n")
    pytester.makeconftest(
        "from support import promise_results\n"
        "promise_results.still_there = lambda results: results\n"
        "def pytest_addoption(parser, pluginmanager):\n"
        "    pluginmanager.register(promise_results)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
    ran = pytester.runpytest_subprocess(
        "--promises", "found.json", "-p", "no:dash", "-p", "no:schemathesis", str(test)
    )
    ran.assert_outcomes(passed=5, failed=1, skipped=1, errors=1)
    found = read(pytester.path / "found.json")
    said = {test.split("::")[1]: (one["outcome"], one["runs"]) for test, one in found["1"].items()}
    assert said == {
        "test_cases": ("passed", 3),
        "test_examples": ("passed", 7),
        "test_said": ("passed", 200),
        "test_fails": ("failed", 0),
        "test_broken": ("failed", 0),
    }
    assert list(found["2"]) == ["test_shown.py::test_cases"]
