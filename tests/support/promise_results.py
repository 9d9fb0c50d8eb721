"""promise_results.py: test reports -> docs/promises.json: what shows which promise, how often.

A test says `@pytest.mark.promise(6)`. Each of its cases counts as one run, a hypothesis test as
many as it had passing examples; one that repeats something itself: `record_property("runs", 200)`.
"""

import ast
import json
import re
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.paths import ROOT

RESULTS = ROOT / "docs" / "promises.json"
NUMBERS = range(1, 39)
Results = dict[str, dict[str, dict[str, Any]]]  # promise -> test -> outcome, runs, date


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--promises", metavar="FILE", help="merge what was shown into this JSON file")


def pytest_configure(config: pytest.Config) -> None:
    worker = hasattr(config, "workerinput")  # with xdist only the first process has all reports
    if config.getoption("--promises") and not worker:
        config.pluginmanager.register(Recorder(Path(config.getoption("--promises"))))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The numbers travel with the report, also from another process."""
    report = yield
    report.user_properties = list(item.user_properties)
    report.user_properties += [("promise", number) for number in numbers(item)]
    examples = re.findall(r"(\d+) passing", getattr(item, "hypothesis_statistics", ""))
    if examples:
        report.user_properties.append(("examples", sum(map(int, examples))))
    return report


def numbers(item: pytest.Item) -> list[int]:
    found = sorted({number for mark in item.iter_markers("promise") for number in mark.args})
    unknown = [number for number in found if number not in NUMBERS]
    assert not unknown, f"{item.nodeid} names promise {unknown}: there are 1 to {NUMBERS[-1]}"
    return found


class Outcome(NamedTuple):
    failed: bool
    runs: int


class Recorder:
    """Adds up the cases of each test as they end; writes the file when all have."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[tuple[str, str], Outcome] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped or (report.passed and report.when != "call"):
            return
        said = dict(report.user_properties)
        runs = int(said.get("runs", said.get("examples", 1)))
        for key, number in report.user_properties:
            if key == "promise":
                test = report.nodeid.split("[")[0]
                before = self.found.get((str(number), test), Outcome(False, 0))
                self.found[str(number), test] = Outcome(
                    before.failed or report.failed, before.runs + runs * report.passed
                )

    def pytest_sessionfinish(self) -> None:
        today = datetime.now(UTC).date().isoformat()
        write(self.path, still_there(merged(read(self.path), self.found, today)))


def merged(kept: Results, found: dict[tuple[str, str], Outcome], today: str) -> Results:
    """What ran now replaces what ran before, unless it passed with fewer runs than then."""
    results = {number: dict(tests) for number, tests in kept.items()}
    for (number, test), now in found.items():
        tests = results.setdefault(number, {})
        before = tests.get(test)
        lighter = before and before["outcome"] == "passed" and now.runs < before["runs"]
        if now.failed or not lighter:
            outcome = "failed" if now.failed else "passed"
            tests[test] = {"outcome": outcome, "runs": now.runs, "date": today}
    return results


def still_there(results: Results) -> Results:
    """Without the tests that were renamed, deleted, or no longer carry a promise."""
    marked = set(marked_tests())
    kept = {
        number: {test: one for test, one in tests.items() if test in marked}
        for number, tests in results.items()
    }
    return {number: tests for number, tests in kept.items() if tests}


def marked_tests() -> Iterator[str]:
    """`tests/test_x.py::test_y` of every test function or class in a file that has a promise."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        if "mark.promise(" in text:
            yield from (f"{path.relative_to(ROOT)}::{name}" for name in names(ast.parse(text)))


def names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            inner = (one.name for one in node.body if isinstance(one, ast.FunctionDef))
            yield from (f"{node.name}::{name}" for name in inner if name.startswith("test_"))
        elif isinstance(node, ast.Assign):  # TestBlends = BlendMachine.TestCase
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id.startswith("Test"):
                    yield f"{target.id}::runTest"


def read(path: Path = RESULTS) -> Results:
    return json.loads(path.read_bytes()) if path.exists() else {}  # type: ignore[no-any-return]


def write(path: Path, results: Results) -> None:
    ordered = {number: dict(sorted(results[number].items())) for number in sorted(results, key=int)}
    path.write_text(json.dumps(ordered, indent=1) + "\n")
