"""A query that the text encoder cannot read, or hardly: left out, or it counts less; said so."""

from pathlib import Path

import numpy as np
import pytest
from support.tiny_models import tiny_bert

from indexes.encoders.query_encoder import export_query_encoder, load_query_encoder
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import load_encoder
from indexes.quoting import nearest, nearest_or_all
from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT
from reranker.ranking.ranking import rerank
from reranker.ranking.state import ServedState, load_state
from reranker.requests import Candidate, JudgedRequest, RerankRequest
from reranker.signals.columns import Missing
from reranker.tuning.columns import judged_columns
from reranker.tuning.matrices import linear_rows

IDS = [f"{number}" for number in range(20)]
SEMANTIC = ("semantic", "typical")


@pytest.fixture(scope="module")
def state(shop_home: Path) -> ServedState:
    return load_state(Workspace(shop_home))


def asked(query: str) -> RerankRequest:
    return RerankRequest([Candidate(one) for one in IDS], query=query, explain=True)


@pytest.mark.parametrize(
    ("query", "known"),
    [
        ("red running shoes", 1.0),
        ("shoes!!! -- (red)", 1.0),  # signs count neither way
        ("C++ 100%", 1.0),
        ("🎁", 0.0),
        ("🎁 shoes", 1 / 2),
        ("红色 shoes", 1 / 3),  # each sign of the Chinese is a token
        ("!!!", 0.0),
        ("+ $ €", 0.0),
        ("", 0.0),
    ],
)
def test_how_much_of_a_query_the_encoder_knows(
    state: ServedState, query: str, known: float
) -> None:
    assert state.query_vectors.encoded(query).known == pytest.approx(known)


def test_the_rebuilds_encoder_counts_as_the_serving_one_and_no_prompt(tmp_path: Path) -> None:
    whole = load_encoder(
        EncoderSettings(
            model=str(tiny_bert(tmp_path / "model")), dtype="float32", query_prompt="red shoes: "
        )
    )
    (tmp_path / "files").mkdir()
    export_query_encoder(whole, tmp_path / "files")
    small = load_query_encoder(tmp_path / "files")
    for text, known in (("red zebra", 0.5), ("zebra", 0.0), ("red shoes", 1.0), ("?", 0.0)):
        assert whole.known_share(text) == small.known_share(text) == known


@pytest.mark.parametrize("query", ["🎁", "!!!", "红"])
def test_a_query_of_which_nothing_is_known_leaves_its_meaning_out(
    state: ServedState, query: str
) -> None:
    ranking = rerank(asked(query), state)
    reasons = {part.signal: part.reason for part in ranking.degraded}
    assert {name: reasons.get(name) for name in SEMANTIC} == dict.fromkeys(
        SEMANTIC, "unknown_query"
    )
    for result in ranking.results:
        assert result.explanation and not set(SEMANTIC) & set(result.explanation.contributions)


def test_a_query_that_is_hardly_known_counts_less_and_the_explanation_says_so(
    state: ServedState,
) -> None:
    """1 of 3 tokens known: twice that is what it counts."""
    ranking = rerank(asked("红色 shoes"), state)
    assert not {part.signal for part in ranking.degraded} & set(SEMANTIC)
    for result in ranking.results:
        assert result.explanation
        for name in SEMANTIC:
            part = result.explanation.signals[name]
            assert part.trust == pytest.approx(2 / 3)
            assert part.weight == pytest.approx(DEFAULT.signals[name].weight * 2 / 3)
            assert part.contribution == pytest.approx(part.weight * part.normalised)
        assert result.score == pytest.approx(sum(result.explanation.contributions.values()))
    plain = rerank(asked("🎁 shoes"), state).results[0].explanation
    assert plain and plain.signals["semantic"].trust is None  # half is known: in full


@pytest.mark.parametrize("query", ["红色 shoes", "!!!", "red shoes"])
def test_tuning_and_evaluation_weigh_as_serving_does(state: ServedState, query: str) -> None:
    judged = JudgedRequest([Candidate(one) for one in IDS], query=query, ratings={"3": 1.0})
    found, _ = judged_columns([judged], state, DEFAULT.signals)
    ranking = rerank(asked(query), state)
    assert [result.index for result in ranking.results] == found[0].order(DEFAULT).tolist()
    weights = np.array([part.weight for part in DEFAULT.signals.values()])
    scores = linear_rows(found, DEFAULT).values @ weights
    expected = {result.index: result.score for result in ranking.results}
    np.testing.assert_allclose(scores, [expected[place] for place in range(len(IDS))], atol=1e-9)


def test_a_hardly_known_query_says_typical_nothing_either(state: ServedState) -> None:
    found, _ = judged_columns(
        [JudgedRequest([Candidate(one) for one in IDS], query="!", ratings={"3": 1.0})],
        state,
        ["typical"],
    )
    assert found[0].columns["typical"] == Missing("unknown_query")


def test_a_suggestion_is_near_or_there_is_none() -> None:
    known = ["price", "quantity", "position"]
    assert nearest("pryce", known) == "; the nearest is 'price'"
    assert nearest("zzz", known) == nearest("", known) == nearest("price", []) == ""
    assert nearest_or_all("zzz", known) == "; there is price, quantity, position"
    assert nearest_or_all("pryce", known) == "; the nearest is 'price'"
    assert nearest_or_all("zzz", [f"{n}" for n in range(100)]) == ""
