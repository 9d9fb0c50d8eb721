"""The training loop: it keeps the best, stops in time, resumes, and never sees what it foresees."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from support.sequence_worlds import (
    CIRCLE,
    circle,
    circle_events,
    leave_one_out,
    tiny_settings,
)

from indexes.errors import Failure
from indexes.modalities.whitening import Whitening
from reranker.events.events import TYPES, HistoryEvent
from reranker.model.settings import ENCODERS, TrainSettings
from reranker.training import loop
from reranker.training.checkpoints import FILE, Checkpoint, transfer_weights
from reranker.training.data import (
    Catalogue,
    TrainingData,
    new_model,
    scope_of,
    training_data,
)
from reranker.training.loop import Epoch, Trained, Training, processor_has_bfloat16, training_key
from reranker.training.sequences import Sequences, sequences_of


def run(settings: TrainSettings, **options: Any) -> tuple[Trained, list[Epoch]]:
    data, _ = leave_one_out(settings)
    epochs: list[Epoch] = []
    return Training(data, settings, on_epoch=epochs.append, **options).run(), epochs


def same(one: Trained, other: Trained) -> bool:
    pairs = zip(one.model.state_dict().items(), other.model.state_dict().items(), strict=True)
    return all(a[0] == b[0] and torch.allclose(a[1], b[1], atol=1e-6) for a, b in pairs)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    encoder: str, tmp_path: Path
) -> None:
    settings = tiny_settings(encoder=encoder, epochs=5)
    whole, epochs = run(settings)
    _, first = run(msgspec.structs.replace(settings, epochs=2), folder=tmp_path)
    resumed, second = run(settings, folder=tmp_path)
    assert [one.epoch for one in first + second] == [1, 2, 3, 4, 5]
    assert same(whole, resumed)
    np.testing.assert_allclose(
        [one.loss for one in first + second], [one.loss for one in epochs], rtol=1e-5
    )
    assert resumed.best_epoch == whole.best_epoch


def test_another_seed_or_other_events_begin_anew(tmp_path: Path) -> None:
    run(tiny_settings(epochs=2), folder=tmp_path)
    _, other = run(tiny_settings(epochs=2, seed=2), folder=tmp_path)
    assert [one.epoch for one in other] == [1, 2]


def test_a_damaged_checkpoint_begins_anew(tmp_path: Path) -> None:
    run(tiny_settings(epochs=2), folder=tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"\xff" * 100):
        (tmp_path / FILE).write_bytes(broken)
        _, epochs = run(tiny_settings(epochs=1), folder=tmp_path)
        assert [one.epoch for one in epochs] == [1]


def test_the_same_seed_gives_the_same_model_and_another_one_another() -> None:
    first, again = run(tiny_settings(epochs=2))[0], run(tiny_settings(epochs=2))[0]
    assert same(first, again)
    assert not same(first, run(tiny_settings(epochs=2, seed=7))[0])


def test_it_stops_in_time_and_keeps_the_best() -> None:
    settings = tiny_settings(epochs=60, patience=2, learning_rate=0.05)
    trained, epochs = run(settings)
    assert trained.stopped == "patience"
    best = max(epochs, key=lambda one: one.ndcg_at_10)
    assert trained.best_epoch == best.epoch == trained.epochs - 2
    to_best, _ = run(msgspec.structs.replace(settings, epochs=best.epoch))
    assert same(trained, to_best)


def test_minutes_end_a_training_with_a_model() -> None:
    trained, epochs = run(tiny_settings(epochs=10_000, patience=10_000, minutes=0.004))
    assert trained.stopped == "minutes"
    assert epochs and trained.best_epoch >= 1


def test_steps_fall_to_0_by_the_end_of_the_minutes_and_the_epoch_cut_short_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its steps are the smallest, so it is often the best one. The clock ticks at each look."""
    ticks = itertools.count()
    monkeypatch.setattr(loop.time, "perf_counter", lambda: float(next(ticks)))
    rates: list[float] = []
    settings = tiny_settings(minutes=0.5, patience=100, epochs=100)
    data, _ = leave_one_out(settings)
    epochs: list[Epoch] = []
    training = Training(data, settings, on_epoch=epochs.append)
    step = training.adam.step

    def noting(*args: Any, **options: Any) -> Any:
        rates.append(training.adam.param_groups[0]["lr"] / settings.learning_rate)
        return step(*args, **options)

    training.adam.step = noting  # type: ignore[method-assign]
    trained = training.run()
    steps = len(list(data.windows.batches(8, 4096, np.random.default_rng(1))))
    assert trained.stopped == "minutes"
    assert len(epochs) == trained.epochs == len(rates) // steps + 1  # the last one unfinished
    assert rates[:steps] == [1.0] * steps
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.2


def test_every_epoch_is_reported() -> None:
    _, epochs = run(tiny_settings(epochs=3))
    assert [one.epoch for one in epochs] == [1, 2, 3]
    assert epochs[0].loss > epochs[-1].loss > 0
    assert set(msgspec.to_builtins(epochs[0])) >= {"loss", "ndcg@10", "hit@10", "seconds"}


def test_what_comes_after_the_limit_changes_nothing() -> None:
    """The leak test: with other last steps, held out, the model is the same to the last bit."""
    settings = tiny_settings(epochs=2)
    data, cases = leave_one_out(settings)
    items = data.sequences.items.copy()
    items[cases.stops] = (items[cases.stops] + 5) % CIRCLE
    changed = training_data(
        replace(data.sequences, items=items), data.catalogue, cases.stops, settings
    )
    one, other = Training(data, settings).run(), Training(changed, settings).run()
    assert same(one, other)
    assert one.best_ndcg == other.best_ndcg


def test_too_little_to_learn_from_is_a_failure() -> None:
    event = HistoryEvent(type="view", item="a", time=1.0)
    sequences = sequences_of([("u 1", event), ("u 1", event)], TYPES)
    with pytest.raises(Failure, match="nothing to learn from"):
        training_data(sequences, Catalogue(["a"]), sequences.at[1:], TrainSettings())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder", "gru"),
        ("fusion", "joint"),
        ("length", 3),
        ("width", 8),
        ("blocks", 1),
        ("heads", 2),
        ("dropout", 0.5),
        ("id_dropout", 0.5),
        ("learning_rate", 0.001),
        ("batch_users", 4),
        ("batch_events", 20),
        ("full_softmax_items", 3),
        ("negatives", 5),
        ("validation_users", 3),
    ],
)
def test_setting_changes_what_is_learned(name: str, value: Any) -> None:
    usual = tiny_settings(
        epochs=1,
        full_softmax_items=3 if name == "negatives" else 100,
        fusion="joint" if name == "id_dropout" else "apart",
    )
    changed = msgspec.structs.replace(usual, **{name: value})
    first, other = run(usual)[1][0], run(changed)[1][0]
    assert (first.loss, first.ndcg_at_10) != (other.loss, other.ndcg_at_10)
    one, two = (leave_one_out(settings)[0] for settings in (usual, changed))
    assert training_key(one, usual) != training_key(two, changed)


def test_setting_epochs() -> None:
    trained, epochs = run(tiny_settings(epochs=2))
    assert (len(epochs), trained.stopped) == (2, "epochs")


def test_setting_precision() -> None:
    assert run(tiny_settings(epochs=1, precision="bfloat16"))[0].bfloat16
    assert not run(tiny_settings(epochs=1, precision="float32"))[0].bfloat16


def test_bfloat16_is_looked_up_in_what_the_processor_says(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model : x\nflags : sse avx512_bf16 fma\nflags : sse\n")
    assert processor_has_bfloat16(info)
    info.write_text("flags : sse avx512f\n")
    assert not processor_has_bfloat16(info)
    assert not processor_has_bfloat16(tmp_path / "none")


def grown() -> tuple[Sequences, Catalogue]:
    """The circle a while later: every walk went on, others began, one item and one type are new."""
    later = [
        (f"u {shopper}", HistoryEvent(type="view", item=f"item {shopper % 12}", time=2e9 + step))
        for shopper in range(60)
        for step in range(4)
    ]
    newest = HistoryEvent(type="view", item="item 12", time=3e9)
    new = [(f"u {shopper}", newest) for shopper in range(30)]
    sequences = sequences_of([*circle_events(), *later, *new], {"wish": 1.0, **TYPES})
    ids = [f"item {number}" for number in range(CIRCLE + 2)]
    rows = np.array([ids.index(item) for item in sequences.item_ids])
    _, catalogue = circle()
    return sequences.with_rows(rows), catalogue


def warm_data(folder: Path, settings: TrainSettings) -> TrainingData:
    sequences, catalogue = grown()
    before = Checkpoint(folder).scope()
    return training_data(sequences, catalogue, sequences.at[1:], settings, before=before)


def test_a_training_with_more_events_begins_with_what_was_learned(tmp_path: Path) -> None:
    settings = tiny_settings(epochs=6, validation_users=8)
    first, _ = run(settings, folder=tmp_path)
    data = warm_data(tmp_path, settings)
    warm = Training(data, settings, folder=tmp_path)
    assert warm.notes.known_before == CIRCLE and warm.notes.epoch == 0
    before, now = first.model.state_dict(), warm.model.state_dict()
    torch.testing.assert_close(
        now["item_ids.weight"][1 : CIRCLE + 1], before["item_ids.weight"][1:]
    )
    # The new item counts by its text alone: its id is the mean of the others.
    torch.testing.assert_close(
        now["item_ids.weight"][CIRCLE + 1], before["item_ids.weight"][1:].mean(dim=0)
    )
    view = list(TYPES).index("view")
    torch.testing.assert_close(now["types.weight"][1 + view], before["types.weight"][view])
    losses: list[float] = []
    for folder in (tmp_path, None):
        one = msgspec.structs.replace(settings, epochs=1)
        Training(data, one, folder=folder, on_epoch=lambda epoch: losses.append(epoch.loss)).run()
    assert losses[0] < losses[1]  # it need not learn the walk again


def test_what_a_warm_training_is_tried_on_was_never_learned(tmp_path: Path) -> None:
    settings = tiny_settings(epochs=1, validation_users=8)
    data, _ = leave_one_out(settings)
    Training(data, settings, folder=tmp_path).run()
    newest = data.sequences.times.max()
    held = {
        data.sequences.shoppers[shopper]: begin
        for shopper, begin in zip(
            data.held_out.shoppers, data.sequences.times[data.held_out.begins], strict=True
        )
    }
    later = warm_data(tmp_path, settings)
    assert later.before is not None
    begins = later.sequences.times[later.held_out.begins]
    for shopper, begin in zip(later.held_out.shoppers, begins, strict=True):
        assert begin > newest or begin >= held[later.sequences.shoppers[shopper]]


@pytest.mark.parametrize("changed", [{"seed": 2}, {"width": 8}, {"length": 5}])
def test_weights_of_another_shape_or_seed_are_not_begun_with(
    changed: dict[str, int], tmp_path: Path
) -> None:
    settings = tiny_settings(epochs=1)
    run(settings, folder=tmp_path)
    assert warm_data(tmp_path, settings).before is not None
    assert warm_data(tmp_path, msgspec.structs.replace(settings, **changed)).before is None


def test_weights_that_have_seen_what_is_later_are_not_begun_with(tmp_path: Path) -> None:
    settings = tiny_settings(epochs=1)
    Training(warm_data(tmp_path, settings), settings, folder=tmp_path).run()
    sequences, catalogue = circle()
    before = Checkpoint(tmp_path).scope()
    assert before is not None
    assert (
        training_data(sequences, catalogue, sequences.at[1:], settings, before=before).before
        is None
    )


def test_axes_of_another_whitening_are_turned_back(tmp_path: Path) -> None:
    """An index that grew has other axes; what the weights read of a text stays the same."""
    settings = tiny_settings(epochs=1)
    vectors = np.random.default_rng(3).normal(size=(200, 16)).astype(np.float32)
    old, new = Whitening.of(vectors[:150]), Whitening.of(vectors)
    data, _ = leave_one_out(settings)
    scopes = [replace(scope_of(data, settings), white=whitening.matrix) for whitening in (old, new)]
    trained, fresh = new_model(data, settings), new_model(data, settings)
    trained.adaptor.weight.data = torch.randn(16, 16)
    transfer_weights(fresh, trained.state_dict(), *scopes)
    centred = torch.from_numpy(vectors[:20] - old.mean)
    torch.testing.assert_close(
        fresh.text_part(centred @ torch.from_numpy(new.matrix)),
        trained.text_part(centred @ torch.from_numpy(old.matrix)),
        rtol=1e-3,
        atol=1e-3,
    )
