"""`reranker demo`: from nothing to a measured blend, what it says, and what it leaves behind."""

import re
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from support.shop import copy_home

from indexes.items.records import read_items
from indexes.workspace import Workspace
from reranker.evaluation.requests import read_requests, rerank_request
from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Event, RerankRequest
from service.commands.cli import run
from service.demo.measure import Measured, best_possible, measure, quality_of
from service.demo.reasons import Reasons
from service.demo.season.data import FILES, IMAGES
from service.demo.season.oracle import read_oracle
from service.demo.showcase import banner, before_and_after
from service.demo.training import Before
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
    names = ["shop", "index", "events", "habits", "measure"]
    assert [line.split()[0] for line in lines[:5]] == names
    assert all(line.endswith(" s") for line in lines[:5])
    assert [line for line in lines if len(line) >= 100] == []
    for told in ("NDCG@10", "share of the possible gain", "before:", "after:", "because you "):
        assert told in demo.said


def test_it_leaves_what_a_newcomer_needs(demo: Demo) -> None:
    assert {*FILES, IMAGES, "curl.json", "made.json"} == {path.name for path in demo.data.iterdir()}
    assert (demo.home / "index" / "current").is_symlink()


def test_a_second_run_keeps_what_is_there(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    served = [(demo.home / name / "current").readlink() for name in ("index", "model", "blends")]
    assert run(["--home", str(demo.home.parent), "demo", "--small", "--no-serve"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["index", "events", "habits"]
    assert all("as before" in line for line in lines[1:4])
    assert served == [
        (demo.home / name / "current").readlink() for name in ("index", "model", "blends")
    ]
    told = demo.said.split("NDCG@10", 1)[1].split(" s in all")[0].rpartition("\n")[0]
    assert told in "\n".join(lines)


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
    assert everything.engine + 0.03 < everything.blend < everything.engine + 0.2
    assert everything.share is not None and 0.03 < everything.share < 0.5


def test_the_best_possible_is_the_oracles(demo: Demo) -> None:
    truths = read_oracle(demo.data / ORACLE)
    for request in read_requests(demo.data / REQUESTS, lambda _bad: None):
        assert best_possible(request, truths[request.id]) == pytest.approx(1.0)


def test_what_is_printed_of_a_score_is_the_rankings_own(
    demo: Demo, state: ServedState, measured: Measured
) -> None:
    """What counts for everybody and what the history adds are the score; without the history the
    first is the whole of it."""
    table = before_and_after(measured, state, demo.data)
    after = table.split("after:")[1].splitlines()[2:]
    numbers = [
        [float(number) for number in re.findall(r"[+-]?\d+\.\d{3}(?= )", line)]
        for line in after
        if re.match(r" +\d+ [*-]", line)
    ]
    assert len(numbers) == 5
    for everybody, own, score in numbers:
        assert everybody + own == pytest.approx(score, abs=0.002)
    asked = msgspec.structs.replace(rerank_request(measured.shown), personalize=False)
    plain = [result.score for result in rerank(asked, state).results]
    for everybody, _, _ in numbers:
        assert any(everybody == pytest.approx(score, abs=0.002) for score in plain)


def test_the_shown_search_is_chosen_as_it_says(
    demo: Demo, state: ServedState, measured: Measured
) -> None:
    requests = list(read_requests(demo.data / REQUESTS, lambda _bad: None))
    lasting = [
        request
        for request in requests
        if sum(event.item is not None for event in request.history or ()) >= 3
    ]
    gains = {
        request.id: quality_of(request, state) - quality_of(request, state, personalize=False)
        for request in lasting
    }
    helped = measured.helped
    assert helped.searches == len(lasting)
    assert helped.better == sum(gain > 0 for gain in gains.values())
    assert helped.worse == sum(gain < 0 for gain in gains.values())
    assert helped.mean == pytest.approx(sum(gains.values()) / len(gains))
    assert gains[measured.shown.id] > 0
    reasons = {request.id: Reasons(state.index, request.history or ()) for request in lasting}
    names = reasons[measured.shown.id]
    first = rerank(rerank_request(measured.shown), state).results[:5]
    assert helped.explained or any(names.of(result.id) for result in first)


def test_a_reason_names_brand_and_shelf(demo: Demo, state: ServedState) -> None:
    alike = defaultdict(list)
    for _, item in read_items(demo.data / ITEMS, pytest.fail):
        if item.category.endswith("s"):
            alike[item.brand, item.category].append(item.id)
    brand, category = max(alike, key=lambda shelf: len(alike[shelf]))
    first, *others = alike[brand, category]
    assert len(others) >= 2
    reasons = Reasons(state.index, [Event(type="view", item=item) for item in others])
    number = {2: "two", 3: "three"}[len(others)]
    shelf = category.rpartition(" > ")[2].lower()
    assert reasons.of(first) == f"because you looked at {number} {brand} {shelf}"
    assert reasons.is_new_of_a_liked_kind(first)
    assert not reasons.is_new_of_a_liked_kind(others[0])


def test_what_is_to_be_pasted_can_be_answered_and_the_page_stands_last(
    demo: Demo, state: ServedState, measured: Measured
) -> None:
    url = "http://127.0.0.1:8000"
    said = banner(url, measured, state, demo.data / "curl.json", 3.0)
    first, second = said.split("The whole search")
    words = shlex.split(first[first.index("curl") :].replace("\\\n", " "))
    body = words[words.index("-d") + 1]
    for pasted in (body, (demo.data / "curl.json").read_text()):
        asked = msgspec.json.decode(pasted, type=RerankRequest)
        assert asked.user and rerank(asked, state).results
    assert str(demo.data / "curl.json") in second
    assert said.rstrip("\n").splitlines()[-1] == f"page  {url}/"


def test_the_training_beside_says_how_it_ended_and_what_it_changed(
    demo: Demo, state: ServedState, measured: Measured, tmp_path: Path
) -> None:
    """As the demo starts it, for as long as one epoch takes; the next run counts it as a model."""
    home = copy_home(demo.home, tmp_path / "demo-small")
    shown = measured.shown
    before = Before(
        home=str(home),
        minutes=0.001,
        all_searches=measured.quality,
        request=shown.id,
        query=shown.query,
        shown=quality_of(shown, state),
    )
    code = "from service.demo.training import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, msgspec.json.encode(before).decode()],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "epoch   1" in done.stderr
    after = measure(load_state(Workspace(home)), home / "data")
    assert done.stdout.splitlines()[1].startswith("trained  The service uses the new model")
    assert f"{measured.quality:.3f} -> {after.quality:.3f}" in done.stdout
    assert not measured.good_enough and measured.with_counts_alone is None
    if after.with_counts_alone is not None:
        assert ("no better" in done.stdout) == (not after.good_enough)


@pytest.mark.heavy
def test_the_whole_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(tmp_path), "demo", "--no-serve"]) == 0
    said = capsys.readouterr().out
    assert "5,076 items" in said
    assert "default is better than engine" in said
