"""What the pages promise exists: links, commands, make targets."""

import re
import tomllib
from pathlib import Path

import pytest
from support.paths import ROOT

from service.commands.cli import Commands

BINARY = {".png", ".pyc", ".so"}
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"(?:^|`)reranker (?!--)([a-z-]+)", text, re.MULTILINE))
    assert named <= set(Commands.entries), named - set(Commands.entries)
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_text_installs_our_distribution() -> None:
    """`reranker` on the package index is somebody else's; the program alone has that name."""
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    assert name == "shop-reranker"
    theirs = re.compile(r"""['"`]reranker\[|(?:pip install|uv add)[^|&;\n]*[ '"]reranker\b(?!/)""")
    folders = ("docs", "indexes", "reranker", "service", "tests")
    places = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    for path in (*places, *ROOT.glob("*")):
        if path.is_file() and path.suffix not in BINARY and path != Path(__file__):
            found = theirs.search(path.read_text())
            assert not found, f"{path.relative_to(ROOT)}: {found}"


def test_nothing_is_left_to_fill_in() -> None:
    for page in PAGES:
        assert not re.search(
            r"\b(TODO|FIXME|TBD)\b|^[A-Z]+_[A-Z_]+$", page.read_text(), re.MULTILINE
        )


def test_the_readme_names_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in readme, page.name
