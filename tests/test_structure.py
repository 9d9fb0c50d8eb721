"""The shape of the code: which way dependencies point, what starts fast, what stays out."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "indexes": {"indexes"},
    "reranker": {"indexes", "reranker"},
    "service": {"indexes", "reranker", "service"},
}
OURS = set(MAY_IMPORT)
SOURCES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            yield str(node.module)


def test_dependencies_point_one_way() -> None:
    for path in SOURCES:
        package = path.relative_to(ROOT).parts[0]
        others = {name.split(".")[0] for name in imported(path)} & OURS
        assert others <= MAY_IMPORT[package], f"{path} imports {others - MAY_IMPORT[package]}"


def test_the_core_and_the_offline_side_know_nothing_of_http() -> None:
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] != "service":
            names = {name.split(".")[0] for name in imported(path)}
            assert not names & {"flask", "werkzeug", "gunicorn", "http"}, path


def test_a_budget_knows_nothing_of_what_is_ranked() -> None:
    names = {
        name for name in imported(ROOT / "reranker/runtime/budget.py") if name.split(".")[0] in OURS
    }
    assert names == {"reranker.runtime.breakers", "reranker.errors"}


def test_the_interface_of_histories_knows_no_store() -> None:
    names = {
        name
        for name in imported(ROOT / "reranker/histories/histories.py")
        if name.split(".")[0] in OURS
    }
    assert names == {"indexes.errors", "reranker.events.events", "reranker.pseudonyms.pseudonyms"}


@pytest.mark.promise(26)
def test_nothing_is_unpickled_and_no_remote_code_runs() -> None:
    for path in SOURCES:
        names = {name.split(".")[0] for name in imported(path)}
        assert not names & {"pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"}, path
        text = path.read_text()
        for forbidden in ("allow_pickle=True", "trust_remote_code=True", "torch.load("):
            assert forbidden not in text, f"{path}: {forbidden}"


def test_every_module_says_what_leaves_it() -> None:
    for path in SOURCES:
        if path.name != "__init__.py":
            first = path.read_text().split("\n", 1)[0]
            assert first.startswith(f'"""{path.name}: '), f"{path}: {first}"


@pytest.mark.parametrize("name", ["torch", "transformers", "sentence_transformers", "pyarrow"])
def test_serving_starts_without_the_offline_libraries(name: str) -> None:
    modules = "service.app, service.server.serve, reranker.ranking.ranking, sys"
    code = f"import {modules}; assert {name!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    lines = (ROOT / "constraints.txt").read_text().lower().splitlines()
    pinned = {line.split("==")[0].replace("_", "-") for line in lines if "==" in line}
    for requirement in wanted:
        name = requirement.lower().split("[")[0]
        for sign in "<>=":
            name = name.split(sign)[0]
        assert name.replace("_", "-") in pinned | {"reranker"}, requirement
    assert "torch==2.13.0" in lines
