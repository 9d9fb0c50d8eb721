"""The wheel alone: what is in it, and that it installs and runs where there is no network."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from support.paths import ROOT

from indexes.release import VERSION

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "indexes", "reranker", "service")
ALONE = ["unshare", "-rn"]  # in a network of its own, without any route


def outside(**variables: str) -> dict[str, str]:
    """The environment of somebody who has no checkout."""
    ours = ("RERANKER", "PYTHON", "PIP_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "OMP_NUM_THREADS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **variables,
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy: a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / "source" / name, ignore=ignored)
        else:
            (folder / "source").mkdir(exist_ok=True)
            shutil.copyfile(source, folder / "source" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "-w", str(folder), str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True, env=outside(), cwd=folder)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.heavy
@pytest.mark.promise(38)
def test_the_wheel_holds_what_the_checkout_holds(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = message_from_bytes(archive.read(f"shop_reranker-{VERSION}.dist-info/METADATA"))
    for package in ("indexes", "reranker", "service"):
        there = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*")}
        files = {name for name in there if (ROOT / name).is_file() and "__pycache__" not in name}
        assert files <= names, files - names
    assert (about["Name"], about["Version"]) == ("shop-reranker", VERSION)
    wanted = about.get_all("Requires-Dist") or []
    assert not [one for one in wanted if re.match(r"reranker\b", one)]
    assert any(re.match(r"shop-reranker\[encode,page,tune\]", one) for one in wanted)


@pytest.mark.heavy
@pytest.mark.promise(38)
def test_it_installs_without_a_network_and_the_demo_runs(wheel: Path, tmp_path: Path) -> None:
    """What it needs was fetched beforehand: it lies in this environment's folder of packages."""
    done = subprocess.run([*ALONE, "true"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{' '.join(ALONE)} is not permitted here: {done.stderr.strip()}")
    new = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(new)], check=True)
    python = new / "bin" / "python"
    (packages,) = new.glob("lib/python*/site-packages")
    (packages / "fetched.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index"]
    installed = subprocess.run(
        [*ALONE, *pip, f"shop-reranker[demo] @ {wheel.as_uri()}"],
        capture_output=True,
        text=True,
        env=outside(),
        cwd=tmp_path,
    )
    assert installed.returncode == 0, installed.stderr
    assert f"Successfully installed shop-reranker-{VERSION}" in installed.stdout
    code = "import service, reranker, indexes as i; print(i.__file__, reranker.__file__)"
    where = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, env=outside(), cwd=tmp_path
    )
    assert where.stdout.count(str(packages)) == 2, where
    program = [str(new / "bin" / "reranker"), "--home", str(tmp_path / "home")]
    demo = subprocess.run(
        [*ALONE, *program, "demo", "--small", "--no-serve"],
        capture_output=True,
        text=True,
        env=outside(HOME=str(tmp_path)),
        cwd=tmp_path,
    )
    assert demo.returncode == 0, demo.stderr
    assert "before: the engine's order" in demo.stdout and "after:" in demo.stdout
