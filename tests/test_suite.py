"""How `make test` runs: long files first, nothing fails by time, and what is left out is named."""

import os
from collections import Counter
from fnmatch import fnmatch

import pytest
from hypothesis import HealthCheck, settings
from support.paths import TESTS

pytest_plugins = ["pytester"]

FILES = {
    "test_a": "import pytest\n@pytest.mark.heavy\ndef test_hours(): pass\ndef test_one(): pass\n",
    "test_b": "def test_two(): pass\ndef test_three(): pass\n",
    "test_c": "import subprocess\ndef test_four(): pass\n",
}


@pytest.mark.parametrize("workers", [0, 1])
def test_long_files_go_first_and_heavy_tests_are_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    pytester.makepyfile(**FILES)
    pytester.makeini("[pytest]\nmarkers =\n    heavy: minutes long\n")
    pytester.makeconftest(
        "from support import suite\n"
        "def pytest_addoption(pluginmanager):\n"
        "    pluginmanager.register(suite)\n"
        "    pluginmanager.register(suite.LeftOut())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
    distributed = ("-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder")
    plugins = ("-p", "no:dash", "-p", "no:schemathesis", "-p", "no:anyio")
    ran = pytester.runpytest_subprocess("-v", "-m", "not heavy", *distributed, *plugins)
    ran.assert_outcomes(passed=4, deselected=0 if workers else 1)
    ran.stdout.re_match_lines(
        [r"Left out: tests that take minutes \(1\)\. `make test-heavy` runs them\.", ".*4 passed.*"]
    )
    ran.stdout.re_match_lines([f".*test_{number}.*" for number in ("four", "two", "three", "one")])


def test_no_folder_of_tests_is_passed_over(pytestconfig: pytest.Config) -> None:
    names = {path.parent.name for path in TESTS.rglob("test_*.py")}
    passed_over = pytestconfig.getini("norecursedirs")
    assert not {name for name in names for pattern in passed_over if fnmatch(name, pattern)}


def test_no_two_files_have_one_name() -> None:
    """pytest imports each by its name alone: of two it refuses the second, and the whole run."""
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_no_example_fails_by_time() -> None:
    assert settings.default is not None and settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
