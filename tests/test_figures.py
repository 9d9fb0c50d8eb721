"""The figures of README and docs are those of docs/figures.json, and their commands are there."""

import re
import shlex

import pytest
from support.figure_blocks import BLOCKS, ratio, said
from support.figures import MEASURED, filled, read, values_of
from support.paths import ROOT

from service.commands.cli import Commands


@pytest.mark.parametrize("page", BLOCKS)
def test_the_marked_blocks_are_what_the_figures_render_to(page: str) -> None:
    text = (ROOT / page).read_text()
    assert text == filled(page, text, read()), "run `python -m support.figures --write`"
    assert len(re.findall("<!-- figures: ", text)) == len(BLOCKS[page])


def test_every_measured_figure_is_shown_with_a_command_that_is_there() -> None:
    figures = read()
    assert set(MEASURED) <= set(figures)
    for what in MEASURED.values():
        program, first, *rest = shlex.split(what.command)
        assert program in (".venv/bin/python", ".venv/bin/reranker")
        if program.endswith("python"):
            assert (ROOT / first).is_file(), what.command
        else:
            assert rest[1] in Commands.entries, what.command


def test_values_are_the_named_groups_of_each_first_match() -> None:
    patterns = (r"p50 (?P<middle>[\d,.]+) ms", r"(?P<items>\d+) items, (?P<mib>\d+) MiB")
    output = "p50 3,097 ms\np50 1 ms\n10 items, 56 MiB"
    assert values_of(output, patterns) == {"middle": [3097.0], "items": [10.0], "mib": [56.0]}
    with pytest.raises(SystemExit, match="nothing like"):
        values_of("p99 1 ms", patterns)


def test_ranges_and_ratios() -> None:
    figures = {"x": {"date": "2026-01-01", "values": {"ours": [1.0, 2.0], "peer": [30.0]}}}
    assert said(figures, "x", "ours") == "1 to 2"  # type: ignore[arg-type]
    assert ratio(figures, "x", "peer", "ours") == "15 to 30x"  # type: ignore[arg-type]
    assert ratio(figures, "x", "ours", "ours") == "0.5 to 2.0x"  # type: ignore[arg-type]
