"""The page's colours, from its style sheet: contrast (WCAG 2.2), and signals told apart."""

import re
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from support.paths import ROOT

from reranker.signals.registry import SIGNALS
from service.page.layout import THEME
from service.page.parts.widgets import BLUE, LIGHT

STYLE = (ROOT / "service/page/assets/page.css").read_text()
SCHEMES = {"light": ":root {", "dark": ':root[data-mantine-color-scheme="dark"] {'}
GROUNDS = ("paper", "ground", "hover", "chosen", "track")

# Linear RGB as people with one kind of cone missing see it: Machado, Oliveira, Fernandes 2009,
# severity 1.
EYES = {
    "usual": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
# sRGB to XYZ (D65), IEC 61966-2-1.
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def tokens(scheme: str) -> dict[str, str]:
    """The scheme's colours by name; what the dark one does not say, it has from the light one."""
    pairs: dict[str, str] = {}
    for name in ("light", scheme):
        rule = STYLE.partition(SCHEMES[name])[2].partition("}")[0]
        pairs |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", rule))
    return pairs


def linear(color: str) -> Any:
    """#rrggbb -> linear RGB (3,)."""
    parts = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio, 1 to 21."""
    low, high = sorted(float(linear(color) @ XYZ[1]) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: Any) -> Any:
    """Linear RGB -> CIE L*a*b*."""
    scaled = np.clip(rgb, 0, 1) @ XYZ.T / WHITE
    x, y, z = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_the_ratio_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("text", ["ink", "quiet", "accent"])
def test_text_can_be_read(scheme: str, ground: str, text: str) -> None:
    colors = tokens(scheme)
    assert contrast(colors[text], colors[ground]) >= 4.5


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize("color", [BLUE, LIGHT])
def test_lines_of_charts_can_be_seen(scheme: str, color: str) -> None:
    assert contrast(color, tokens(scheme)["paper"]) >= 3.0


def test_fields_can_be_read_in_the_dark() -> None:
    """As Mantine uses its ten: 0 for text, 3 for placeholders, 6 behind fields."""
    text, placeholder, behind = (THEME["colors"]["dark"][place] for place in (0, 3, 6))
    assert contrast(text, behind) >= 4.5 and contrast(placeholder, behind) >= 4.5


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_buttons_can_be_read(scheme: str) -> None:
    shade = THEME["colors"]["tide"][THEME["primaryShade"][scheme]]
    assert contrast(shade, "#ffffff") >= 4.5  # their words are white


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize("name", [*(f"sig-{name}" for name in SIGNALS), "s2", "s5"])
def test_what_is_drawn_can_be_seen(scheme: str, name: str) -> None:
    colors = tokens(scheme)
    assert contrast(colors.get(name) or colors[_twin(name)], colors["paper"]) >= 3.0


def _twin(name: str) -> str:
    """A signal without a colour of its own has that of another, hatched or dotted."""
    rule = re.search(rf"\.sg-{name.removeprefix('sig-')} {{[^}}]*var\(--(sig-\w+)\)", STYLE)
    assert rule, name
    return rule.group(1)


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize("eyes", list(EYES))
def test_signals_are_told_apart(scheme: str, eyes: str) -> None:
    """Plain ones by colour, others by their pattern and by its colour."""
    colors = tokens(scheme)
    names = [f"sig-{name}" for name in SIGNALS]
    plain = [name for name in names if name in colors]
    patterned = [_twin(name) for name in names if name not in colors]
    assert len(set(patterned)) == len(patterned)
    for group in (plain, patterned):
        seen = {name: lab(EYES[eyes] @ linear(colors[name])) for name in group}
        for one, other in combinations(group, 2):
            # 2.3 is just noticeable side by side (CIE 1976); a swatch is small and far off
            assert np.linalg.norm(seen[one] - seen[other]) >= 15, (one, other)
    hatched = [re.search(rf"\.sg-{name} {{(.*)}}", STYLE) for name in SIGNALS]
    rules = [rule.group(1) for rule in hatched if rule]
    assert len(set(rules)) == len(SIGNALS)
