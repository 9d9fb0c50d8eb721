"""What the Search tab keeps and finds: grades, shoppers, sliders as a blend, walks through sets."""

import json
from pathlib import Path

import msgspec
import pytest
from support.page import page_of
from support.shop import TRAINED_AT, copy_home, small_shop

from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT, SignalWeight
from reranker.blends.segments import Segment, When
from reranker.errors import BadBlend
from reranker.evaluation.judgment_rows import quepid_rows
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.ranking.ranking import rank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, RerankRequest
from service.page.parts.cases import Case, leaks_of
from service.page.parts.page_judgments import BadJudgment, PageJudgments
from service.page.parts.request_sets import RequestSets
from service.page.parts.shoppers import Shoppers
from service.page.parts.slider_blends import multiplied, stored, words


@pytest.fixture
def state(own_home: Path) -> ServedState:
    return load_state(Workspace(own_home))


def test_grades_are_kept_as_quepids_csv_and_read_back(tmp_path: Path) -> None:
    judgments = PageJudgments(tmp_path)
    assert judgments.of("lamp") == {} and judgments.export() == "query,docid,rating\n"
    judgments.put("Desk  Lamp", "1", 3)
    judgments.put('a "quoted", query', "2", 0)
    judgments.put("desk lamp", "7", 1)
    judgments.put("desk lamp", "1", 2)  # the same query in other letters: replaced
    judgments.put("desk lamp", "7", None)
    assert PageJudgments(tmp_path).of("DESK LAMP") == {"1": 2.0}
    rows = [(row.query, row.item, row.grade) for row in quepid_rows(judgments.path, print)]
    assert rows == [('a "quoted", query', "2", "0"), ("desk lamp", "1", "2")]


def test_a_grade_that_cannot_be_is_refused(tmp_path: Path) -> None:
    judgments = PageJudgments(tmp_path)
    with pytest.raises(BadJudgment, match="0, 1, 2 and 3 are allowed"):
        judgments.put("lamp", "1", 4)
    with pytest.raises(BadJudgment, match="needs a query"):
        judgments.put(" ", "1", 1)


def test_a_spoiled_line_of_the_file_costs_only_itself(tmp_path: Path) -> None:
    judgments = PageJudgments(tmp_path)
    judgments.put("lamp", "1", 3)
    with judgments.path.open("a") as file:
        file.write("lamp,2\nlamp,3,many\nlamp,4,1\n")
    assert judgments.of("lamp") == {"1": 3.0, "4": 1.0}


def test_a_blend_of_the_sliders_ranks_as_the_weights_do(state: ServedState) -> None:
    short = Segment(name="short", when=When(max_query_words=1), weights={"semantic": 0.5})
    blend = msgspec.structs.replace(DEFAULT, segments=[short])
    candidates = [Candidate(item["id"], 20.0 - place) for place, item in enumerate(small_shop())]
    factors = {"semantic": 0.25, "match": 3.0, "engine": 0.0}
    for query in ("lamp", "red running shoes"):
        asked = RerankRequest(candidates[:20], query, weights=factors)
        plain = msgspec.structs.replace(asked, weights={})
        with_weights = rank(asked, state, blend, 1).results
        with_blend = rank(plain, state, multiplied(blend, factors), 1).results
        assert [one.id for one in with_weights] == [one.id for one in with_blend]
        for one, other in zip(with_weights, with_blend, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-9)


def test_sliders_are_stored_unpublished_with_a_note_of_their_own(state: ServedState) -> None:
    factors = {"semantic": 0.5, "match": 2.0, "fresh": 1.0}
    label = stored(state, None, factors, name="warmer", who="ann")
    saved, number = state.store.get(label)
    assert (label, number, saved.author) == ("warmer@1", 1, "ann")
    assert saved.note == "default v1 with match ×2, semantic ×0.5" == words("default v1", factors)
    assert saved.signals["match"] == SignalWeight(1.0)
    assert state.store.published_or_default()[0].name == "default"
    assert state.store.log()[-1].who == "ann"
    with pytest.raises(BadBlend, match="letters, digits"):
        stored(state, None, factors, name="No Name")


def test_shoppers_are_found_by_what_they_did(own_home: Path, state: ServedState) -> None:
    histories = open_histories(Workspace(own_home))
    lamp = next(item for item in small_shop() if "lamp" in item["title"].lower())
    day = 1_790_000_000.0
    histories.append(
        [
            HistoryEvent(type="search", query="Réading light", time=day, user="ann"),
            HistoryEvent(type="purchase", item=lamp["id"], time=day + 9, user="ann"),
            HistoryEvent(type="view", item=lamp["id"], time=day + 5, user="bob"),
            *(
                HistoryEvent(type="view", item="0", time=day + step, user="cleo")
                for step in range(8)
            ),
        ]
    )
    shoppers = Shoppers(histories, lambda: state.index)
    [ann] = shoppers.search("purchase lamp").shoppers
    assert (ann.events, ann.last) == (2, day + 9) and lamp["title"] in ann.did[0]
    assert len(shoppers.search("lamp").shoppers) == 2
    assert [one.events for one in shoppers.search("reading").shoppers] == [2]
    assert shoppers.search("purchase bicycle") == ([], 3, True)
    assert {one.events for one in shoppers.search("").shoppers} >= {2, 8}
    assert [event.type for event in histories.recent(ann.user)] == ["search", "purchase"]


def test_who_is_not_looked_through_is_found_by_the_whole_id(
    own_home: Path, state: ServedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories = open_histories(Workspace(own_home))
    for user in ("ann", "bob"):
        histories.append([HistoryEvent(type="view", item="1", time=1_790_000_000.0, user=user)])
    monkeypatch.setattr("service.page.parts.shoppers.MOST", 1)
    shoppers = Shoppers(histories, lambda: state.index)
    found = shoppers.search("view")
    assert (len(found.shoppers), found.looked, found.everybody) == (1, 1, False)
    named = [shoppers.search(user).shoppers[0] for user in ("ann", "bob")]
    assert len({one.user for one in named}) == 2
    assert shoppers.search(named[1].user).shoppers == [named[1]]


def test_what_evaluate_refuses_as_a_leak_is_warned_of(trained_home: Path, tmp_path: Path) -> None:
    home = copy_home(trained_home, tmp_path / "home")
    (home / "requests").mkdir()
    rated = {"query": "shoes", "candidates": [{"id": "3"}, {"id": "8"}], "ratings": {"3": 1}}
    lines = [
        rated | {"id": "before", "user": "u3", "time": TRAINED_AT - 30 * 86_400},
        rated | {"id": "after", "user": "u3", "time": TRAINED_AT + 86_400},
        rated | {"id": "stranger", "user": "nobody", "time": TRAINED_AT - 30 * 86_400},
    ]
    (home / "requests" / "set.jsonl").write_text("\n".join(map(json.dumps, lines)))
    page = page_of(home)
    [said] = leaks_of(Case(set="set.jsonl", request="before"), page)
    assert said.startswith("1 request refused: the model was trained on later events")
    assert leaks_of(Case(set="set.jsonl", request="after"), page) == []
    assert leaks_of(Case(set="set.jsonl", request="stranger"), page) == []
    assert leaks_of(Case(query="shoes"), page) == []


def test_a_set_is_walked_round_from_a_request(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    folder.mkdir()
    lines = [
        json.dumps({"id": name, "query": "lamp", "candidates": [{"id": "1"}], "ratings": {"1": 1}})
        for name in "abc"
    ]
    (folder / "set.jsonl").write_text("\n".join([lines[0], "spoiled", lines[1], lines[2]]) + "\n")
    sets = RequestSets(tmp_path)
    assert [key for key, _ in sets.following("set.jsonl", "b")] == ["c", "a", "b"]
    assert [key for key, _ in sets.following("set.jsonl", None)] == ["a", "b", "c"]
