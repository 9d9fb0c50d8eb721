"""The shape of the code: which way imports point, which room may use what, what starts fast."""

import ast
import subprocess
import sys
import tomllib
import warnings
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("indexes", "reranker", "service")
# Bottom to top: a room may import itself and what stands before it (docs/design.md).
ROOMS = (
    *("indexes", "indexes/kernels", "indexes/storage", "indexes/readers"),
    *("indexes/modalities", "indexes/items", "indexes/encoders"),
    *("indexes/faiss_files", "indexes/build"),
    *("reranker", "reranker/client", "reranker/metrics", "reranker/runtime", "reranker/events"),
    "reranker/log_formats",
    *(
        "reranker/pseudonyms",
        "reranker/attributes",
        "reranker/histories",
        "reranker/ingestion",
        "reranker/model",
    ),
    *("reranker/signals", "reranker/blends", "reranker/ranking", "reranker/feedback"),
    *("reranker/experiments", "reranker/training/adaptors", "reranker/training"),
    *("reranker/evaluation", "reranker/tuning"),
    *(
        "reranker/adaptation",
        "reranker/model_selection",
        "reranker/applications/recommendations",
        "reranker/applications/carts",
        "reranker/applications/churn",
        "reranker/applications",
        "reranker/privacy",
        "reranker/backups",
        "reranker/fleet",
        "reranker/commands",
        "reranker/commands/learning",
        "reranker/commands/applications",
    ),
    *("service/http", "service/observability", "service/access", "service/live", "service/api"),
    *("service/formats", "service/formats/metarank", "service/openapi"),
    *("service/page/parts", "service/page/tabs", "service/page/tabs/shoppers"),
    *("service/page/tabs/base", "service/page", "service", "service/server", "service/proxy"),
    *("service/demo/shop", "service/demo/season", "service/demo", "service/commands"),
)
# The settings of all rooms meet in one place.
# The program's entry point is where an installation looks for it.
GATHERS = {"service.settings": "settings", "service.cli": "cli"}
MOST_FILES, MANY_FILES = 18, 15
# A leaf that is copied as a folder: no import of ours leads to it or from it.
CLIENT = "reranker/client"
COMMANDS = ("indexes/build/commands.py", "reranker/commands", "service/commands", "service/demo")
TORCH = (
    *("indexes/encoders", "reranker/training", "reranker/adaptation"),
    "reranker/model_selection/epoch_logs.py",  # TensorBoard's writer is torch's
    "reranker/model/action_head.py",  # at the end of a training; serving reads its numbers
)
WEB = {"flask", "werkzeug", "gunicorn", "dash", "http"}


def sources() -> list[Path]:
    return sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return place(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def room_of(module: str) -> str:
    path = ROOT / module.replace(".", "/")
    return place(path if path.is_dir() else path.parent)


@cache
def imported(path: Path) -> tuple[tuple[str, str], ...]:
    """(module, name) of every import, lazy and TYPE_CHECKING ones too; name is "" for a module."""
    pairs: list[tuple[str, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            pairs += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = room_of(module_of(path)) == CLIENT and node.level == 1
            assert node.level == 0 or inner, f"{path}: relative imports hide the direction"
            module = f"{CLIENT.replace('/', '.')}.{node.module}" if inner else str(node.module)
            pairs += [(module, alias.name) for alias in node.names]
    return tuple(pairs)


def tops(path: Path) -> set[str]:
    return {module.split(".")[0] for module, _ in imported(path)}


@cache
def ours(path: Path) -> frozenset[str]:
    """Modules of ours that a file imports."""
    names = set()
    for module, name in imported(path):
        if module.split(".")[0] in OURS:
            inner = f"{module}.{name}"
            is_module = (ROOT / (inner.replace(".", "/") + ".py")).exists()
            names.add(inner if is_module else module)
    return frozenset(names)


def test_every_folder_is_a_room() -> None:
    there = {place(path.parent) for path in sources()}
    assert there == set(ROOMS)


def test_imports_point_down() -> None:
    rank = {room: number for number, room in enumerate(ROOMS)}
    up = [
        f"{module_of(path)} imports {other}"
        for path in sources()
        for other in sorted(ours(path))
        if rank[room_of(other)] > rank[room_of(module_of(path))]
        and not other.endswith(f".{GATHERS.get(module_of(path), '/')}")
    ]
    assert not up


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {module_of(path): ours(path) for path in sources()}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way[way.index(module) :], module))
        if module not in done:
            for other in graph.get(module, ()):
                visit(other, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_what_a_room_keeps_to_itself_stays_there() -> None:
    wrong = [
        f"{module_of(path)} imports {module}.{name}"
        for path in sources()
        for module, name in imported(path)
        if module.split(".")[0] in OURS
        and name.startswith("_")
        and room_of(module) != room_of(module_of(path))
    ]
    assert not wrong


@pytest.mark.filterwarnings("default")
def test_rooms_are_small_and_say_what_they_are_for() -> None:
    for room in ROOMS:
        count = len(list((ROOT / room).glob("*.py")))
        assert count <= MOST_FILES, f"{room} has {count} files"
        if count > MANY_FILES:
            warnings.warn_explicit(f"{room} has {count} files", ResourceWarning, room, 1)
        assert ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text())), room


def within(path: Path, places: tuple[str, ...]) -> bool:
    return any(place(path) == here or place(path).startswith(f"{here}/") for here in places)


def test_only_commands_talk_to_the_terminal() -> None:
    users = {place(path) for path in sources() if "click" in tops(path)}
    assert not {user for user in users if not within(ROOT / user, COMMANDS)}


def test_torch_stays_offline() -> None:
    users = {place(path) for path in sources() if tops(path) & {"torch", "transformers"}}
    assert not {user for user in users if not within(ROOT / user, TORCH)}


def test_the_core_and_the_offline_side_know_nothing_of_http() -> None:
    for path in sources():
        if not place(path).startswith("service/"):
            assert not tops(path) & WEB, path


@pytest.mark.promise(26)
def test_nothing_is_unpickled_and_no_remote_code_runs() -> None:
    for path in sources():
        assert not tops(path) & {
            *("pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"),
        }, path
        text = path.read_text()
        for forbidden in ("allow_pickle=True", "trust_remote_code=True", "torch.load("):
            assert forbidden not in text, f"{path}: {forbidden}"


def test_the_client_stands_alone() -> None:
    """Beside itself it needs the standard library and httpx; and nothing of ours needs it."""
    allowed = {*sys.stdlib_module_names, "httpx"} - WEB
    for path in sources():
        of_client = {module for module in ours(path) if room_of(module) == CLIENT}
        if place(path.parent) == CLIENT:
            assert ours(path) == of_client, path
            assert not {module for module in tops(path) - {"reranker"} if module not in allowed}
        else:
            assert not of_client, path
            assert "httpx" not in tops(path), path


def test_every_module_says_what_leaves_it() -> None:
    for path in sources():
        if path.name != "__init__.py":
            first = path.read_text().split("\n", 1)[0]
            assert first.startswith(f'"""{path.name}: '), f"{path}: {first}"


def test_serving_starts_without_the_offline_libraries() -> None:
    offline = {"torch", "transformers", "sentence_transformers", "pyarrow", "sklearn", "scipy"}
    modules = "service.app, service.server.serve, reranker.ranking.ranking, sys"
    code = f"import {modules}; print(sorted({offline!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stdout + done.stderr


def test_tests_share_through_support_alone() -> None:
    tests = ROOT / "tests"
    names = {path.stem for path in tests.rglob("test_*.py")} | {"conftest"}
    for path in tests.rglob("*.py"):
        assert not tops(path) & names, f"{path} imports {tops(path) & names}"


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    lines = (ROOT / "constraints.txt").read_text().lower().splitlines()
    pinned = {line.split("==")[0].replace("_", "-") for line in lines if "==" in line}
    for requirement in wanted:
        name = requirement.lower().split("[")[0]
        for sign in "<>=":
            name = name.split(sign)[0]
        assert name.replace("_", "-") in pinned | {project["name"]}, requirement
    assert "torch==2.13.0" in lines
