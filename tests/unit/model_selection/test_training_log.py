"""TensorBoard reads what the epochs of a training were."""

import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reranker.model_selection.epoch_logs import HOW_TO_GET, tensorboard_log
from reranker.training.loop import Epoch


def epoch(number: int) -> Epoch:
    return Epoch(
        epoch=number,
        loss=5.0 / number,
        ndcg_at_10=0.25 * number,
        hit_at_10=0.5,
        best=True,
        seconds=100.0 * number,
    )


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found = EventAccumulator(str(folder))
    found.Reload()
    return {
        name: sorted((point.step, point.value) for point in found.Scalars(name))
        for name in found.Tags()["scalars"]
    }


def test_tensorboard_reads_every_epoch_also_after_an_interruption(tmp_path: Path) -> None:
    folder, said = tmp_path / "work" / "tensorboard", list[str]()
    with tensorboard_log(folder, said.append) as note:
        note(epoch(1))
        assert scalars(folder)["loss"] == [(1, 5.0)]  # while the training goes on
    with tensorboard_log(folder, said.append) as note:
        note(epoch(2))
    found = scalars(folder)
    seconds = found.pop("seconds_per_epoch")
    assert found == {
        "loss": [(1, 5.0), (2, 2.5)],
        "ndcg@10": [(1, 0.25), (2, 0.5)],
        "hit@10": [(1, 0.5), (2, 0.5)],
    }
    assert [step for step, _ in seconds] == [1, 2]
    assert all(0 <= value < 60 for _, value in seconds)  # of the epoch alone
    assert not said


def test_without_tensorboard_it_says_once_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    said = list[str]()
    with tensorboard_log(tmp_path / "tensorboard", said.append) as note:
        note(epoch(1))
        note(epoch(2))
    assert said == [HOW_TO_GET]
    assert not list(tmp_path.iterdir())
