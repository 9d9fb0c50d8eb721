"""A blend's arithmetic by hand; blends on disk are versions that survive races and damage."""

from pathlib import Path

import numpy as np
import pytest

from indexes.storage.versions import Version, VersionStore
from reranker.blends.blend import DEFAULT, Blend, SignalWeight
from reranker.blends.files import parse
from reranker.blends.store import BlendStore
from reranker.errors import BadBlend, UnknownBlend
from reranker.ranking.explanations import explain
from reranker.ranking.ranking import wanted
from reranker.ranking.scoring import scored
from reranker.signals.columns import Column, Missing, complete_column

BLEND = Blend(
    name="two",
    signals={
        "engine": SignalWeight(2.0),
        "semantic": SignalWeight(3.0, "none"),
        "fresh": SignalWeight(1.0),
    },
)
COLUMNS: dict[str, Column | Missing] = {
    "engine": complete_column(np.array([10.0, 5.0, 0.0])),
    "semantic": Column(np.array([0.1, 0.7, 0.0]), np.array([True, True, False])),
    "fresh": Missing("no_field", degraded=False),
}


def test_the_score_is_the_sum_of_the_contributions() -> None:
    score, parts = scored(BLEND, COLUMNS, {}, 3)
    assert [part.signal for part in parts] == ["engine", "semantic"]
    # engine: 2 x (1, 1/2, 0); semantic: 3 x (0.1, 0.7, their mean 0.4)
    assert parts[0].amounts.tolist() == [2, 1, 0]
    assert parts[1].amounts == pytest.approx([0.3, 2.1, 1.2])
    assert score == pytest.approx([2.3, 3.1, 1.2])


def test_weights_of_the_request_multiply() -> None:
    assert scored(BLEND, COLUMNS, {"semantic": 0}, 3)[0].tolist() == [2, 1, 0]
    assert scored(BLEND, COLUMNS, {"engine": 0.5}, 3)[0] == pytest.approx([1.3, 2.6, 1.2])
    assert wanted(BLEND, {"semantic": 0}) == ["engine", "fresh"]


@pytest.mark.promise(4)
def test_the_explanation_is_the_same_arithmetic() -> None:
    score, parts = scored(BLEND, COLUMNS, {}, 3)
    order = np.argsort(-score, kind="stable")
    explained = explain(parts, order)
    for place, index in enumerate(order):
        assert sum(explained[place].contributions.values()) == score[index]
        assert explained[place].moved == index - place
    lost = explained[2].signals["semantic"]
    assert lost.raw is None and not lost.known and lost.contribution == pytest.approx(1.2)


@pytest.mark.promise(32)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"name": "x", "signals": {"engin": {"weight": 1}}}', "engin.*signals are engine"),
        ('{"name": "x", "signals": {"engine": {"weight": "a"}}}', "signals"),
        ('{"name": "x", "signals": {"engine": {"weight": 1e9}}}', "1000"),
        ('{"name": "x", "signals": {"engine": {"weight": 1, "norm": "rank"}}}', "norm"),
        ('{"name": "../x", "signals": {"engine": {"weight": 1}}}', "name"),
        ('{"name": "x\\n", "signals": {"engine": {"weight": 1}}}', "name"),
        ('{"name": "x", "signals": {}}', "no signal"),
        ("{", "truncated"),
    ],
)
def test_a_blend_that_cannot_be_used_says_why(text: str, says: str) -> None:
    with pytest.raises(BadBlend, match=says):
        parse(text.encode(), "here")


def test_the_first_published_blend_is_the_default(tmp_path: Path) -> None:
    store = BlendStore(tmp_path / "blends")
    assert store.published_or_default() == (DEFAULT, 1)
    assert BlendStore(tmp_path / "blends").published_or_default() == (DEFAULT, 1)


@pytest.mark.promise(32)
def test_the_default_never_takes_the_place_of_a_blend_published_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, looked = BlendStore(tmp_path / "blends"), []
    current = VersionStore.current

    def first_look_is_early(versions: VersionStore) -> Version | None:
        looked.append(versions)
        if len(looked) > 1:
            return current(versions)
        BlendStore(tmp_path / "blends").save(BLEND, publish=True)
        return None

    monkeypatch.setattr(VersionStore, "current", first_look_is_early)
    assert store.published_or_default() == (BLEND, 1)


def test_versions_of_a_name_count_up_and_only_publishing_serves_them(tmp_path: Path) -> None:
    store = BlendStore(tmp_path / "blends")
    store.published_or_default()
    assert store.save(BLEND) == (BLEND, 1)
    assert store.save(BLEND) == (BLEND, 2)
    assert store.published_or_default() == (DEFAULT, 1)
    assert store.newest("two") == (BLEND, 2)
    with pytest.raises(UnknownBlend, match="'none', which does not exist; there is default, two"):
        store.newest("none")
    assert store.names() == {"default", "two"}
    store.save(BLEND, publish=True)
    assert store.published_or_default() == (BLEND, 3)
