"""`reranker train`: imported events become a published model that fits its index."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file
from support.shop import PATIENT, copy_home, patient
from support.torch_models import load_model

from indexes.items.index import ItemIndex
from indexes.storage.versions import Version, VersionStore
from indexes.workspace import Workspace
from reranker.blends.blend import PERSONAL, WITHOUT_ENCODER
from reranker.blends.store import BlendStore
from reranker.events.events import HistoryEvent
from reranker.feedback.files import rankings_folder
from reranker.histories.histories import Shopper
from reranker.histories.store import open_histories
from reranker.model.search_statistics import SEARCHES
from reranker.model.versions import ModelMismatch, check_fits, model_store
from reranker.ranking.settings import RankingSettings
from reranker.training.loop import Training
from service.app import create_app
from service.commands import doctor_home
from service.commands.cli import run
from service.settings import load_workspace

SETTINGS = """[train]
width = 16
epochs = 4
learning_rate = 0.02
batch_users = 16
precision = "float32"
keep = 2
min_validation_shoppers = 5
encoder_proof = false
"""


def walk(shopper: int) -> list[HistoryEvent]:
    """Five items in the order of their ids, with a search among them."""
    events = [
        HistoryEvent(
            type="view", item=f"{(shopper + step) % 20}", time=1e9 + 60.0 * step, user=f"{shopper}"
        )
        for step in range(5)
    ]
    events.insert(2, HistoryEvent(type="search", query="lamp", time=1e9 + 70, user=f"{shopper}"))
    return events


@pytest.fixture(scope="module")
def trained_home(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = copy_home(shop_home, tmp_path_factory.mktemp("trained") / "home")
    (home / "settings.toml").write_text(SETTINGS)
    histories = open_histories(Workspace(home))
    for shopper in range(40):
        histories.append(walk(shopper))
    histories.close()
    assert run(["--home", str(home), "train"]) == 0
    return home


@pytest.fixture
def home(trained_home: Path, tmp_path: Path) -> Path:
    return copy_home(trained_home, tmp_path / "home")


def index_of(home: Path) -> ItemIndex:
    version = VersionStore(home / "index").current()
    assert version
    return ItemIndex(version)


def workspace_of(home: Path) -> Workspace:
    return load_workspace(home, None, {})


def answer_of(home: Path, capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["--home", str(home), "train", *args, "--json"]) == 0
    found: dict[str, Any] = msgspec.json.decode(capsys.readouterr().out.splitlines()[-1])
    return found


def test_a_version_is_published_with_what_it_was_made_of(home: Path) -> None:
    store = model_store(workspace_of(home))
    version = store.current()
    assert version is not None and store.verify(version) == []
    names = sorted(path.name for path in version.folder.iterdir())
    learned = ["habits.json", "habits.safetensors"]
    assert [name for name in names if not name.startswith("next_action")] == [
        *learned,
        "manifest.json",
        "model.json",
        "model.safetensors",
        "recommend.json",
        "searches.safetensors",
        "shoppers.safetensors",
        "trends.json",
    ]
    index = index_of(home)
    about = version.about
    assert (about["fingerprint"], about["index"]) == (index.fingerprint, index.version)
    assert (about["encoder"], about["shoppers"], about["events"]) == ("transformer", 40, 240)
    assert (about["items"], about["known_items"], about["seed"]) == (60, 20, 1)


def test_a_loaded_model_gives_what_the_trained_one_gave(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Training] = []
    whole_run = Training.run
    monkeypatch.setattr(Training, "run", lambda self: (kept.append(self), whole_run(self))[1])
    assert run(["--home", str(home), "train", "--encoder", "gru"]) == 0
    from reranker.training.inference import item_vectors

    found = load_model(workspace_of(home), index_of(home))
    assert found is not None and found.settings.encoder == "gru"
    expected = item_vectors(kept[0].model, kept[0].items)
    np.testing.assert_array_equal(found.item_vectors(), expected)


def test_user_vectors_come_from_events_searches_and_the_time(home: Path) -> None:
    found = load_model(workspace_of(home), index_of(home))
    assert found is not None
    events = walk(3)
    now = 1e9 + 400
    histories = [(events, now), ([], now), (events[:3], now), (events, now + 1e6)]
    together = found.user_vectors(histories)
    assert together.shape == (4, 32) and not together[1].any()
    alone = np.concatenate([found.user_vectors([one]) for one in histories])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    without_search = [event for event in events if event.type != "search"]
    assert not np.allclose(found.user_vectors([(without_search, now)]), together[0])
    unknown = [HistoryEvent(type="view", item="nowhere", time=1.0)]
    assert np.isfinite(found.user_vectors([(unknown, 2.0)])).all()


def test_a_model_of_another_index_is_refused_by_name(home: Path) -> None:
    index = index_of(home)
    version = model_store(workspace_of(home)).current()
    assert version is not None and version.manifest is not None
    check_fits(version, index)
    about = version.about | {"fingerprint": "other-encoder"}
    other = msgspec.structs.replace(version.manifest, about=about)
    with pytest.raises(ModelMismatch, match=r"other-encoder.*reranker train"):
        check_fits(Version(version.id, version.folder, other), index)


def test_every_epoch_is_in_the_log_and_nothing_names_a_shopper(trained_home: Path) -> None:
    work = trained_home / "model" / "work"
    lines = (work / "training.jsonl").read_bytes().splitlines()
    epochs = [msgspec.json.decode(line) for line in lines]
    assert [one["epoch"] for one in epochs] == [1, 2, 3, 4]
    assert {"loss", "ndcg@10", "hit@10", "best", "seconds"} <= set(epochs[0])
    assert [path.name for path in work.glob("*.safetensors")] == ["training.safetensors"]


def test_minutes_and_encoder_on_the_command_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One step an epoch: however slow the machine, the first epoch is the same.
    one_step = SETTINGS.replace("batch_users = 16", "batch_users = 64").replace("0.02", "0.1")
    (home / "settings.toml").write_text(one_step)
    answer = answer_of(home, capsys, "--minutes", "0.0001", "--encoder", "lstm")
    assert (answer["stopped"], answer["settings"]["encoder"]) == ("minutes", "lstm")
    again = answer_of(home, capsys, "--minutes", "0", "--encoder", "lstm")
    assert (again["stopped"], again["epochs"]) == ("epochs", 4)


def test_only_so_many_versions_are_kept(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        answer_of(home, capsys, "--encoder", "gru", "--minutes", "0.0001")
    assert len(model_store(workspace_of(home)).versions()) == 2


def test_without_events_or_index_the_next_command_is_named(
    own_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(own_home), "train"]) == 1
    assert "reranker events import" in capsys.readouterr().err
    assert run(["--home", str(tmp_path / "empty"), "train"]) == 1
    assert "reranker rebuild" in capsys.readouterr().err


def degraded_of(home: Path) -> dict[str, str]:
    history = [{"type": "view", "item": "3", "time": 1.7e9}]
    body = {"query": "lamp", "candidates": [{"id": f"{n}"} for n in range(12)], "history": history}
    workspace = Workspace(home, {RankingSettings: PATIENT})
    answer = create_app(workspace).test_client().post("/rerank", json=body).get_json()
    assert answer["versions"]["model"]
    return {part["signal"]: part["reason"] for part in answer["degraded"]}


def test_setting_min_validation_shoppers(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of the forty shoppers are held out: with 21 wanted, counts are published alone."""
    (home / "settings.toml").write_text(SETTINGS.replace("shoppers = 5", "shoppers = 21"))
    shutil.rmtree(home / "blends")
    found = answer_of(home, capsys)
    assert found["encoder"] is found["ndcg@10"] is None
    assert (
        "20 shoppers can be held out" in found["reason"] and "40 shoppers with" in found["reason"]
    )
    assert "21 are needed (train.min_validation_shoppers)" in found["reason"]
    assert "about 42 shoppers" in found["reason"]
    assert load_model(workspace_of(home), index_of(home)) is None
    blend, _ = BlendStore(home / "blends").published_or_default()
    assert blend.signals == WITHOUT_ENCODER.signals and "behaviour" not in blend.signals
    assert not {"popular", "together", "near"} & set(degraded_of(home))
    asked = {"history": [{"type": "view", "item": "3", "time": 1.7e9}]}
    answer = create_app(patient(home)).test_client().post("/next-action", json=asked).get_json()
    assert answer["degraded"] == [{"signal": "next_action", "reason": "too_few_visits"}]
    finding = doctor_home.model(workspace_of(home))
    assert finding.state == "warn" and "21 are needed" in finding.do
    assert run(["--home", str(home), "train"]) == 0
    assert "published without an encoder" in capsys.readouterr().out

    (home / "settings.toml").write_text(SETTINGS.replace("shoppers = 5", "shoppers = 20"))
    found = answer_of(home, capsys)
    assert found["encoder"] == "transformer" and found["reason"] is None
    blend, _ = BlendStore(home / "blends").published_or_default()
    assert blend.signals == PERSONAL.signals


def test_counts_alone_are_published_in_seconds_and_an_interrupted_training_stays(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = home / "model" / "work" / "training.safetensors"
    checkpoint.write_bytes(b"where it stood")
    found = answer_of(home, capsys, "--counts-only")
    assert found["encoder"] is None and "--counts-only" in found["reason"]
    assert load_model(workspace_of(home), index_of(home)) is None
    assert not {"popular", "together", "near"} & set(degraded_of(home))
    assert checkpoint.read_bytes() == b"where it stood"
    checkpoint.unlink()
    assert answer_of(home, capsys)["encoder"] == "transformer"


def test_what_the_home_logged_as_shown_further_down_counts_more(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def amounts() -> np.ndarray[Any, Any]:
        version = model_store(workspace_of(home)).current()
        assert version
        return load_file(version.folder / SEARCHES)["amounts"]

    before = amounts()
    histories, lines = open_histories(Workspace(home)), []
    for shopper in range(40):  # half of them were shown what they took from the third place on
        first = shopper + (2 if shopper < 20 else 0)
        items = [f"{(first + place) % 20}" for place in range(20)]
        who = histories.hidden(Shopper(f"{shopper}", None)).user
        shown = {"id": f"{shopper}", "time": 1e9 + 70, "user": who, "items": items, "query": "Lamp"}
        lines.append(msgspec.json.encode(shown) + b"\n")
    histories.close()
    folder = rankings_folder(workspace_of(home))
    folder.mkdir(exist_ok=True)
    (folder / "2001-09-09.jsonl").write_bytes(b"".join(lines))
    answer_of(home, capsys, "--counts-only")
    after = amounts()
    assert len(after) == len(before) and (after >= before).all() and after.sum() > before.sum()


def test_an_encoder_that_hits_nothing_is_not_published(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_run = Training.run
    monkeypatch.setattr(
        Training, "run", lambda self: msgspec.structs.replace(whole_run(self), best_ndcg=0.0)
    )
    found = answer_of(home, capsys)
    assert found["encoder"] is None and "found none of the 20 held-out" in found["reason"]
    assert "40 shoppers with 240 events" in found["reason"]
    blend, _ = BlendStore(home / "blends").published_or_default()
    assert blend.signals == WITHOUT_ENCODER.signals
    version = model_store(workspace_of(home)).current()
    assert version and not (version.folder / "next_action.json").exists()


def test_the_next_training_begins_with_what_this_one_learned(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = answer_of(home, capsys)
    assert (again["known_before"], again["epochs"]) == (None, 4)  # nothing is new: it is done
    histories = open_histories(Workspace(home))
    for shopper in range(30, 60):
        histories.append(
            [msgspec.structs.replace(event, time=event.time + 1e6) for event in walk(shopper)]
        )
    histories.close()
    assert answer_of(home, capsys)["known_before"] == 20
    assert answer_of(home, capsys, "--from-scratch")["known_before"] is None
    assert run(["--home", str(home), "forget", "1"]) == 0
    assert answer_of(home, capsys)["known_before"] is None
