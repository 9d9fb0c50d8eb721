"""The text encoder learns what a shop's queries mean, and is published only where it proves it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_models import tiny_bert

from indexes.build.rebuild import rebuild
from indexes.build.settings import RebuildSettings
from indexes.encoders.adapted import encoder_settings, encoder_store
from indexes.encoders.query_encoder import load_query_encoder
from indexes.encoders.settings import EncoderSettings
from indexes.errors import Failure
from indexes.items.index import ItemIndex, published_version
from indexes.progress import Advance, silent
from indexes.storage.versions import Damaged, VersionStore
from indexes.workspace import Workspace
from reranker.adaptation.adapt import TooFewQueries, adapt
from reranker.adaptation.candidates import Candidates
from reranker.adaptation.fine_tuning import mixed, targets, trainable
from reranker.adaptation.questions import (
    Question,
    behaviour_questions,
    catalogue_questions,
    judged_questions,
)
from reranker.adaptation.report import AdaptReport, gain_of, gains_of, refusal
from reranker.adaptation.settings import AdaptSettings
from reranker.adaptation.trials import ndcg_of, parts_of
from reranker.model.card import NONE
from reranker.requests import Candidate, JudgedRequest
from reranker.training.sequences import Sequences

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")

THINGS = ["kettle", "lamp", "jacket", "shoes", "leash", "machine", "desk", "tea"]
NAMES = ["wok", "zub", "fep", "gim", "hax", "jol", "kiv", "lud"]  # what this shop's people type
COLOURS = "red blue green grey black white brown pink gold navy cream olive".split()
LEARNING = AdaptSettings(side="both", layers=0, rate=3e-3, anchor=0.0, epochs=8, minutes=0.0)


def item(thing: str, colour: str) -> str:
    return f"{thing}-{colour}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """96 items, and a model with random weights that knows their words and the shop's own."""
    folder = tmp_path_factory.mktemp("adapt")
    tiny = str(tiny_bert(folder / "tiny", words=[*THINGS, *NAMES, *COLOURS]))
    encoder = EncoderSettings(model=tiny, dtype="float32")
    template = RebuildSettings(template="{title}")
    workspace = Workspace(folder / "home", {EncoderSettings: encoder, RebuildSettings: template})
    rows = [
        {"id": item(thing, colour), "title": f"{colour} {thing}", "category": f"{thing}"}
        for thing in THINGS
        for colour in COLOURS
    ]
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    rebuild(workspace, folder / "items.jsonl", progress=silent)
    return workspace


def judged() -> list[JudgedRequest]:
    """ "gim blue" wants the blue jacket most, then the other jackets."""
    everything = [item(thing, colour) for thing in THINGS for colour in COLOURS]
    return [
        JudgedRequest(
            candidates=[Candidate(name) for name in everything],
            query=f"{name} {colour}",
            ratings={item(thing, each): 2.0 if each == colour else 1.0 for each in COLOURS},
        )
        for name, thing in zip(NAMES, THINGS, strict=True)
        for colour in COLOURS
    ]


@pytest.fixture(scope="module")
def report(home: Workspace) -> AdaptReport:
    """What came of learning those; from then on rebuilds of `home` encode with it."""
    return adapt(home, LEARNING, judged(), publish=True, progress=silent)


def as_it_was(home: Workspace) -> Workspace:
    """The same home with the model as it was before anything was published."""
    plain = msgspec.structs.replace(home.section(EncoderSettings), adapted=False)
    return Workspace(home.home, {**home.sections, EncoderSettings: plain})


def test_what_is_learned_holds_for_queries_that_were_not(
    home: Workspace, report: AdaptReport, tmp_path: Path
) -> None:
    """And the next rebuild encodes with it; without it again where the settings say so."""
    gain = report.gains["all"]
    assert report.reason is None and report.offered and report.published
    assert gain.difference.low is not None and gain.difference.low > 0

    settings = encoder_settings(home)
    assert settings.model == str(encoder_store(home.home).root / "versions" / str(report.version))
    before = VersionStore(home.home / "index").current()
    items = tmp_path / "items.jsonl"
    rows = [{"id": item(t, c), "title": f"{c} {t}", "category": t} for t in THINGS for c in COLOURS]
    items.write_text("\n".join(map(json.dumps, rows)))
    summary = rebuild(home, items, progress=silent)
    assert summary.encoded == len(rows) and "The encoder changed" in summary.notes[0]
    assert before is not None

    without = as_it_was(home)
    plain = without.section(EncoderSettings)
    assert encoder_settings(without).model == plain.model
    other = msgspec.structs.replace(plain, adapted=True, model="minilm")
    another = Workspace(home.home, {**home.sections, EncoderSettings: other})
    assert encoder_settings(another).model == "minilm"
    rebuild(without, items, progress=silent)


def test_queries_alone_learn_and_items_stay_where_they_are(home: Workspace, tmp_path: Path) -> None:
    """The next rebuild encodes no item, and queries with what they learned; and back."""
    sections = {**home.sections, EncoderSettings: as_it_was(home).section(EncoderSettings)}
    sections[EncoderSettings] = msgspec.structs.replace(sections[EncoderSettings], adapted=True)
    shop = Workspace(tmp_path / "home", sections)
    items = home.home.parent / "items.jsonl"
    rebuild(shop, items, progress=silent)
    before = ItemIndex(published_version(shop))
    settings = msgspec.structs.replace(LEARNING, side="queries", epochs=12)
    report = adapt(shop, settings, judged(), publish=True, progress=silent)
    assert report.offered and report.gains["all"].difference.mean > 0.05
    summary = rebuild(shop, items, progress=silent)
    after = ItemIndex(published_version(shop))
    assert summary.encoded == 0 and after.version != before.version
    assert after.fingerprint == before.fingerprint
    read_before = load_query_encoder(before.encoder_folder)
    read_after = load_query_encoder(after.encoder_folder)
    [was], [now] = (read.encode_queries(["zub blue"]) for read in (read_before, read_after))
    texts = [read.encode_documents(["zub blue", "a lamp"]) for read in (read_before, read_after)]
    assert texts[0].tolist() == texts[1].tolist()
    everything = np.arange(len(after))
    vectors, lamps = after.vectors(everything), after.rows([item("lamp", c) for c in COLOURS])
    assert vectors.tolist() == before.vectors(everything).tolist()
    ahead = [(vectors[lamps] @ query).mean() - (vectors @ query).mean() for query in (was, now)]
    assert ahead[1] > ahead[0] + 0.05
    assert not rebuild(shop, items, progress=silent).changed
    with pytest.raises(Failure, match=r'adapt.side is "both"'):
        adapt(shop, LEARNING, judged(), progress=silent)

    encoder_store(shop.home).withdraw()
    rebuild(shop, items, progress=silent)
    folder = ItemIndex(published_version(shop)).encoder_folder
    assert load_query_encoder(folder).encode_queries(["zub blue"])[0] == pytest.approx(was)


def test_what_is_not_proved_is_not_kept(home: Workspace) -> None:
    """Wishes that no text tells: every item wants another colour."""
    versions = len(encoder_store(home.home).versions())
    rng = np.random.default_rng(3)
    noise = [
        msgspec.structs.replace(
            request, ratings={c.id: 1.0 for c in rng.permutation(request.candidates)[:5]}
        )
        for request in judged()
    ]
    settings = msgspec.structs.replace(LEARNING, rate=1e-9, epochs=1)
    report = adapt(home, settings, noise, publish=True, progress=silent)
    assert report.reason is not None and not report.offered and report.version is None
    assert len(encoder_store(home.home).versions()) == versions


def test_an_adapted_encoder_is_measured_beside_the_original_too(
    home: Workspace, report: AdaptReport
) -> None:
    """Minutes that end at once: nothing is added to it, and its own gain is what is left."""
    assert report.of_original is None
    settings = msgspec.structs.replace(LEARNING, minutes=1e-9)
    again = adapt(home, settings, judged(), progress=silent)
    assert again.tuned["stopped"] == "minutes" and again.tuned["steps"] == 0
    assert again.gains["all"].difference.mean == 0 and not again.offered
    assert again.of_original is not None
    assert again.of_original["all"].before == pytest.approx(report.gains["all"].before, abs=0.01)
    assert again.of_original["all"].after == pytest.approx(report.gains["all"].after, abs=0.01)


def test_every_phase_shows_how_far_it_is(home: Workspace) -> None:
    phases: dict[str, tuple[int | None, list[int]]] = {}

    @contextmanager
    def watched(stage: str, total: int | None) -> Iterator[Advance]:
        phases[stage] = (total, [])
        yield phases[stage][1].append

    settings = msgspec.structs.replace(LEARNING, layers=1, epochs=1)
    adapt(as_it_was(home), settings, judged(), progress=watched)
    assert list(phases) == ["queries", "layers", "vectors", "steps", "choosing", "proof"]
    for stage, (total, advances) in phases.items():
        assert total is not None and 0 < sum(advances) <= total
        assert sum(advances) == total or stage == "steps"  # learning may end early


def test_an_anchor_holds_vectors_where_they_were(home: Workspace) -> None:
    """Twice as many epochs are more steps; a firm anchor leaves less to be learned."""
    moved = []
    for anchor, epochs in ((0.0, 6), (1000.0, 6), (0.0, 12)):
        settings = msgspec.structs.replace(LEARNING, anchor=anchor, epochs=epochs)
        tuned = adapt(as_it_was(home), settings, judged(), progress=silent).tuned
        moved.append((tuned["steps"], tuned["chosen"]["1"] - tuned["chosen"]["0"]))
    (steps, free), (_, held), (twice, _) = moved
    assert twice > steps
    assert abs(held) < free


def test_what_one_shopper_typed_is_not_learned(home: Workspace) -> None:
    """Unless the settings say that one is enough; what was done after a search is its gain."""
    version = VersionStore(home.home / "index").current()
    assert version is not None
    index = ItemIndex(version)
    rows = index.rows(["lamp-red"])
    sequences = Sequences(
        shoppers=["a", "b"],
        item_ids=["lamp-red"],
        query_texts=["Zub", "wok", "zub"],
        at=np.array([0, 4, 6]),
        items=np.array([NONE, 0, NONE, 0, NONE, 0]),
        queries=np.array([0, NONE, 1, NONE, 2, NONE]),
        types=np.array([0, 1, 0, 1, 0, 1]),
        times=np.array([0.0, 1.0, 2.0, 3.0, 0.0, 1.0]),
        weights={"search": 0.0, "purchase": 4.0},
    ).with_rows(rows)
    candidates = Candidates(index)
    [shared] = behaviour_questions(sequences, 30.0, 2, candidates)
    assert (shared.query, shared.times) == ("zub", 2)
    assert index.ids.ids(shared.rows[shared.gains > 0]) == ["lamp-red"]
    assert shared.gains.max() == 8.0
    assert len(behaviour_questions(sequences, 30.0, 1, candidates)) == 2


def test_too_few_queries_are_refused_with_what_helps(home: Workspace) -> None:
    with pytest.raises(TooFewQueries, match="12 queries") as failure:
        adapt(home, LEARNING, judged()[:12], progress=silent)
    assert "--requests" in str(failure.value.hint)


def test_the_catalogue_asks_where_nobody_did(home: Workspace) -> None:
    version = VersionStore(home.home / "index").current()
    assert version is not None
    index = ItemIndex(version)
    questions = catalogue_questions(index, Candidates(index), 7)
    assert sorted(question.query for question in questions) == sorted(THINGS)
    for question in questions:
        wanted = index.ids.ids(question.rows[question.gains > 0])
        assert {name.split("-")[0] for name in wanted} == {question.query}


def test_grades_become_gains_and_unknown_items_are_left_out(home: Workspace) -> None:
    version = VersionStore(home.home / "index").current()
    assert version is not None
    request = JudgedRequest(
        candidates=[Candidate("kettle-red"), Candidate("nowhere"), Candidate("lamp-red")],
        query="wok",
        ratings={"lamp-red": 2.0, "nowhere": 3.0},
    )
    [question] = judged_questions([request], ItemIndex(version))
    assert question.gains.tolist() == [0.0, 3.0] and question.ideal.tolist() == [7.0, 3.0]


def question(query: str, gains: list[float], times: int = 1) -> Question:
    values = np.array(gains)
    ideal = np.sort(values[values > 0])[::-1]
    return Question(query, "behaviour", np.arange(len(gains)), values, ideal, times)


def test_ndcg_by_hand() -> None:
    """Gains 3 and 1 at places 2 and 1: (1 + 3 / log2 3) / (3 + 1 / log2 3)."""
    vectors = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], np.float32)
    got = ndcg_of(question("q", [1.0, 3.0, 0.0]), np.array([1.0, 0.0], np.float32), vectors)
    log3 = np.log2(3)
    assert got == pytest.approx((1 + 3 / log3) / (3 + 1 / log3))


def test_what_is_wanted_of_a_batch_by_hand() -> None:
    asked = [question("a", [3.0, 1.0, 0.0]), question("b", [0.0, 0.0, 2.0])]
    assert targets(asked, np.array([0, 1, 2, 9])).tolist() == [[0.75, 0.25, 0, 0], [0, 0, 1, 0]]


@given(st.lists(st.text(min_size=1), max_size=60), st.integers(0, 99))
def test_no_query_is_learned_from_and_proves(queries: list[str], seed: int) -> None:
    parts = parts_of([question(query, [1.0]) for query in queries], seed)
    assert sum(map(len, parts)) == len(queries)
    names = [{one.query.casefold().strip() for one in part} for part in parts]
    assert not names[0] & names[2] and not names[1] & names[2] and not names[0] & names[1]


def test_the_head_has_half_of_all_searches() -> None:
    asked = [question("a", [1.0], 6), question("b", [1.0], 3), question("c", [1.0], 1)]
    gains = gains_of(asked, [0.1, 0.2, 0.3], [0.2, 0.2, 0.1])
    assert gains["head"].queries == 1 and gains["tail"].queries == 2
    assert gains["all"].difference.mean == pytest.approx(-0.1 / 3)
    assert gains["behaviour"].queries == 3


def test_why_it_is_not_offered() -> None:
    queries = [f"q{n}" for n in range(40)]
    better = gain_of([0.5] * 40, [0.6 + 0.001 * n for n in range(40)], queries)
    unsure = gain_of([0.5] * 40, [0.5 + (-1) ** n * 0.1 for n in range(40)], queries)
    loses = gain_of([0.5] * 40, [0.49] * 40, queries)
    assert refusal(1.0, better, None) is None
    assert "the best" in str(refusal(0.0, better, None))
    assert "not proved" in str(refusal(1.0, unsure, None))
    assert "made of the catalogue" in str(refusal(1.0, better, loses))


def test_only_the_last_layers_learn(tmp_path: Path) -> None:
    """A share of the way from one state to the other is taken, weight by weight."""
    from indexes.encoders.models import load_modules

    modules: Any = load_modules(tiny_bert(tmp_path / "tiny", words=THINGS))
    learning = trainable(modules, 1)
    frozen = {n for n, weight in modules.named_parameters() if not weight.requires_grad}
    assert learning and all(".layer.1." in name for name in learning)
    assert frozen == {name for name, _ in modules.named_parameters()} - set(learning)
    assert set(trainable(modules, 0)) == {name for name, _ in modules.named_parameters()}
    weight = torch.nn.Parameter(torch.zeros(2))
    mixed({"w": weight}, {"w": torch.zeros(2)}, {"w": torch.tensor([4.0, -8.0])}, 0.25)
    assert weight.tolist() == [1.0, -2.0]


def test_a_damaged_encoder_is_refused_with_what_mends_it(home: Workspace, tmp_path: Path) -> None:
    """A rebuild never encodes with files that are not as they were written."""
    sections = dict(home.sections)
    store = encoder_store(tmp_path)
    with store.stage() as staged:
        (staged / "model.safetensors").write_bytes(b"weights")
        version = store.publish(staged, {"base": home.section(EncoderSettings).model})
    workspace = Workspace(tmp_path, sections)
    assert encoder_settings(workspace).model == str(version.folder)
    weights = version.folder / "model.safetensors"
    weights.chmod(0o600)
    weights.write_bytes(b"weightz")
    with pytest.raises(Damaged, match="is damaged") as failure:
        encoder_settings(workspace)
    assert "adapt --publish" in str(failure.value.hint)
