"""`reranker demo`: from nothing to a measured blend, what it says, and what it leaves behind."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from indexes.workspace import Workspace
from reranker.evaluation.requests import read_requests
from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import RerankRequest
from service.commands.cli import run
from service.demo.measure import Measured, best_possible, measure
from service.demo.season.data import FILES, IMAGES
from service.demo.season.oracle import read_oracle
from service.demo.showcase import banner, before_and_after
from service.page.parts.request_sets import ITEMS, ORACLE, REQUESTS


class Demo(NamedTuple):
    """One run of the small demo as a person starts it."""

    home: Path
    said: str
    errors: str

    @property
    def data(self) -> Path:
        return self.home / "data"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    home = tmp_path_factory.mktemp("demo")
    command = "import sys; from service.commands.cli import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", command, "--home", str(home), "demo", "--small", "--no-serve"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return Demo(home / "demo-small", done.stdout, done.stderr)


@pytest.fixture(scope="module")
def state(demo: Demo) -> ServedState:
    return load_state(Workspace(demo.home))


@pytest.fixture(scope="module")
def measured(demo: Demo, state: ServedState) -> Measured:
    return measure(state, demo.data)


def test_it_says_what_it_did_without_noise(demo: Demo) -> None:
    assert demo.errors == ""
    lines = demo.said.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["shop", "index", "events", "measure"]
    assert all(line.endswith(" s") for line in lines[:4])
    assert max(map(len, lines)) < 100
    for told in ("NDCG@10", "share of the possible gain", "before:", "after:", "semantic"):
        assert told in demo.said


def test_it_leaves_what_a_newcomer_needs(demo: Demo) -> None:
    assert {*FILES, IMAGES, "curl.json", "made.json"} == {path.name for path in demo.data.iterdir()}
    assert (demo.home / "index" / "current").is_symlink()


def test_the_steps_can_be_repeated_by_hand(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(demo.home)]
    assert run([*home, "rebuild", "--items", str(demo.data / ITEMS), "--json"]) == 0
    rebuilt = msgspec.json.decode(capsys.readouterr().out.splitlines()[-1])
    assert rebuilt["encoded"] == rebuilt["skipped"] == 0
    assert run([*home, "evaluate", "--requests", str(demo.data / REQUESTS), "--json"]) == 0
    metrics = msgspec.json.decode(capsys.readouterr().out.splitlines()[-1])["metrics"]
    for order in ("engine", "default"):
        assert f"{metrics[order]['ndcg@10']:.3f}" in demo.said


def test_the_blend_is_better_than_the_engine_and_leaves_room_for_taste(
    measured: Measured,
) -> None:
    everything = measured.shares[0]
    assert everything.segment == "all"
    assert everything.oracle == pytest.approx(1.0)
    assert everything.engine + 0.03 < everything.blend < everything.engine + 0.15
    assert everything.share is not None and 0.03 < everything.share < 0.4


def test_the_best_possible_is_the_oracles(demo: Demo) -> None:
    truths = read_oracle(demo.data / ORACLE)
    for request in read_requests(demo.data / REQUESTS, lambda _bad: None):
        assert best_possible(request, truths[request.id]) == pytest.approx(1.0)


def test_the_printed_contributions_are_the_rankings_own(
    demo: Demo, state: ServedState, measured: Measured
) -> None:
    table = before_and_after(measured, state, demo.data)
    after = table.split("after:")[1].splitlines()[2:]
    assert len(after) == 5
    for line in after:
        numbers = [float(number) for number in re.findall(r"[+-]?\d+\.\d{3}(?= )", line)]
        assert sum(numbers[:-1]) == pytest.approx(numbers[-1], abs=0.003)


def test_what_is_to_be_pasted_can_be_answered(
    demo: Demo, state: ServedState, measured: Measured
) -> None:
    said = banner("http://127.0.0.1:8000", state, measured.shown, demo.data / "curl.json")
    first, second = said.split("The whole search")
    words = shlex.split(first[first.index("curl") :].replace("\\\n", " "))
    body = words[words.index("-d") + 1]
    for pasted in (body, (demo.data / "curl.json").read_text()):
        asked = msgspec.json.decode(pasted, type=RerankRequest)
        assert rerank(asked, state).results
    assert str(demo.data / "curl.json") in second


@pytest.mark.heavy
def test_the_whole_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(tmp_path), "demo", "--no-serve"]) == 0
    said = capsys.readouterr().out
    assert "5,076 items" in said
    assert "default is better than engine" in said
