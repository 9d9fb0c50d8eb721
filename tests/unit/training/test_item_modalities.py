"""Items that are known by pictures beside texts: what is learned, and items that have none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support.sequence_worlds import DAY, leave_one_out, tiny_settings
from support.torch_models import with_queries

from indexes.modalities.whitening import Whitening
from indexes.storage.arrays import Mask, Vectors
from reranker.events.events import TYPES, HistoryEvent
from reranker.training.adaptors.modalities import KnownVectors
from reranker.training.checkpoints import transfer_weights
from reranker.training.data import Catalogue, new_model, scope_of, training_data
from reranker.training.inference import item_vectors, user_vectors
from reranker.training.loop import Training
from reranker.training.sequences import sequences_of

SEEN, COLD = 80, 40  # items; of two looks in turn
RNG = np.random.default_rng(5)


def units(vectors: Any) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def look_vectors(strength: float, d: int) -> Vectors:
    """Noise, and along the first axis the look."""
    vectors = np.random.default_rng(d).normal(size=(SEEN + COLD, d))
    vectors[:, 0] += strength * np.where(np.arange(SEEN + COLD) % 2, 1.0, -1.0)
    return units(vectors)


def walks() -> list[tuple[str, HistoryEvent]]:
    """Each shopper views eight items of one look, in any order."""
    rng = np.random.default_rng(2)
    return [
        (f"u {shopper}", HistoryEvent(type="view", item=f"item {row}", time=1e9 + DAY * step))
        for shopper in range(80)
        for step, row in enumerate(rng.choice(np.arange(shopper % 2, SEEN, 2), 8, replace=False))
    ]


def scores_of_cold(texts: Vectors, pictures: KnownVectors | None, **settings: Any) -> Vectors:
    """What a trained model gives shoppers of the second look (s, COLD) for items nobody met."""
    ids = [f"item {row}" for row in range(SEEN + COLD)]
    sequences = sequences_of(walks(), TYPES)
    rows = np.array([ids.index(item) for item in sequences.item_ids])
    sequences = sequences.with_rows(rows)
    modalities = {} if pictures is None else {"image": replace_seen(pictures)}
    asked = tiny_settings(**settings)
    data = training_data(
        sequences, Catalogue(ids, texts, modalities=modalities), sequences.at[1:], asked
    )
    model = Training(data, asked).run().model
    shown = replace(data.catalogue, modalities={} if pictures is None else {"image": pictures})
    items = replace(data, catalogue=shown).items
    users = user_vectors(model, items, sequences, data.validation, asked.length)
    of_look = data.validation.shoppers % 2 == 1
    return np.asarray(users[of_look] @ item_vectors(model, items)[SEEN:].T)


def replace_seen(pictures: KnownVectors) -> KnownVectors:
    """While training every item has its picture."""
    return KnownVectors(pictures.vectors, np.ones(len(pictures.known), bool))


def right_share(scores: Vectors, among: Mask) -> float:
    """How often an item of the look is above one of the other: 0.5 by chance."""
    own, other = scores[:, among & OF_LOOK], scores[:, among & ~OF_LOOK]
    return float((own[:, :, None] > other[:, None, :]).mean())


OF_LOOK: Mask = np.arange(COLD) % 2 == 1
ALL: Mask = np.ones(COLD, bool)
EVERY: Mask = np.ones(SEEN + COLD, bool)


def test_what_only_a_picture_shows_is_learned_from_behaviour() -> None:
    texts = look_vectors(0.0, 16)
    pictures = KnownVectors(look_vectors(4.0, 12), EVERY)
    assert right_share(scores_of_cold(texts, pictures), ALL) > 0.85
    assert 0.3 < right_share(scores_of_cold(texts, None), ALL) < 0.7


def test_an_item_without_a_picture_does_not_suffer() -> None:
    """Text and picture both show the look. Half of the new items have no picture: with dropout
    they stand among those of the look as the others do, and without it behind them."""
    has: Mask = np.arange(COLD) // 2 % 2 == 0
    pictures = KnownVectors(look_vectors(4.0, 12), np.append(np.ones(SEEN, bool), has))
    texts = look_vectors(1.5, 16)
    mean_ranks = {}
    for dropout in (0.0, 0.2):
        scores = scores_of_cold(texts, pictures, modality_dropout=dropout)
        assert right_share(scores, has) > 0.9 and right_share(scores, ~has) > 0.8
        ranks = (-scores[:, OF_LOOK]).argsort(axis=1).argsort(axis=1)  # 0 to 19
        mean_ranks[dropout] = float(ranks[:, ~has[OF_LOOK]].mean())
    assert abs(mean_ranks[0.2] - 9.5) < 3.0
    assert mean_ranks[0.0] > 9.5 + 3.0


def test_a_model_without_other_vectors_has_nothing_of_them() -> None:
    settings = tiny_settings()
    data, _ = leave_one_out(settings)
    assert not [name for name in new_model(data, settings).state_dict() if "modalit" in name]


def test_what_is_neither_item_nor_search_has_no_content() -> None:
    settings = tiny_settings()
    data, _ = leave_one_out(settings)
    vectors = KnownVectors(units(RNG.normal(size=(14, 5))), np.arange(14) % 2 == 0)
    data = replace(data, catalogue=replace(data.catalogue, modalities={"image": vectors}))
    model = new_model(data, settings).eval()
    assert data.catalogue.texts is not None
    with torch.no_grad():
        model.modalities["of_image"].stand_in.fill_(1.0)
    items = with_queries(data.items, data.catalogue.texts[:2])
    parts = model.content_part(items, torch.arange(17))  # 14 items, two searches, neither
    torch.testing.assert_close(parts.norm(dim=1), torch.cat([torch.ones(16), torch.zeros(1)]))
    # A search is read as an item is that has no picture.
    torch.testing.assert_close(parts[15], parts[1])


def test_axes_of_another_whitening_of_pictures_are_turned_back() -> None:
    settings = tiny_settings(epochs=1)
    vectors = RNG.normal(size=(200, 8)).astype(np.float32)
    old, new = Whitening.of(vectors[:150]), Whitening.of(vectors)
    data, _ = leave_one_out(settings)
    pictures = KnownVectors(units(vectors[:14]), np.ones(14, bool))
    data = replace(data, catalogue=replace(data.catalogue, modalities={"image": pictures}))
    scopes = [replace(scope_of(data, settings), whites={"image": of.matrix}) for of in (old, new)]
    trained, fresh = new_model(data, settings), new_model(data, settings)
    trained.modalities["of_image"].weight.data = torch.randn(16, 8)
    transfer_weights(fresh, trained.state_dict(), *scopes)
    centred = torch.from_numpy(vectors[:20] - old.mean)
    read = [
        centred @ torch.from_numpy(of.matrix) @ model.modalities["of_image"].weight.T
        for of, model in ((old, trained), (new, fresh))
    ]
    torch.testing.assert_close(read[0], read[1], rtol=1e-3, atol=1e-3)


def test_an_interrupted_training_with_pictures_goes_on_where_it_was(tmp_path: Path) -> None:
    def data_of(settings: Any) -> Any:
        data, _ = leave_one_out(settings)
        vectors = KnownVectors(units(np.eye(14, 6) + 0.1), np.ones(14, bool))
        return replace(data, catalogue=replace(data.catalogue, modalities={"image": vectors}))

    whole = tiny_settings(epochs=4)
    in_one = Training(data_of(whole), whole).run().model.state_dict()
    half = tiny_settings(epochs=2)
    Training(data_of(half), half, folder=tmp_path).run()
    in_two = Training(data_of(whole), whole, folder=tmp_path).run().model.state_dict()
    for name, value in in_one.items():
        torch.testing.assert_close(in_two[name], value, msg=name)
