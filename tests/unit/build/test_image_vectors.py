"""Pictures of items become vectors at the rebuild: only new ones, safely, counted."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support.picture_shop import SUMMARY, build, workspace, write_shop
from support.shop import copy_home

from indexes.build.commands import rebuild_command
from indexes.build.image_vectors import IMAGE
from indexes.build.rebuild import Summary, rebuild
from indexes.build.settings import RebuildSettings
from indexes.encoders.image_encoder import load_image_encoder
from indexes.encoders.query_encoder import load_query_encoder
from indexes.encoders.settings import ImageSettings
from indexes.errors import Failure
from indexes.items.index import ItemIndex, published_version
from indexes.items.settings import ItemSettings
from indexes.progress import silent
from indexes.workspace import Workspace


@pytest.fixture
def home(pictured_home: Path, tmp_path: Path) -> Path:
    return copy_home(pictured_home, tmp_path / "home")


def index_of(home: Path) -> ItemIndex:
    return ItemIndex(published_version(Workspace(home)))


def vector_of(home: Path, item: str) -> Any:
    index = index_of(home)
    vectors, known = index.modalities[IMAGE].rows(index.rows([item]))
    return vectors[0] if known[0] else None


def test_each_picture_is_a_vector_beside_the_text(pictured_home: Path) -> None:
    home = pictured_home
    summary = msgspec.json.decode((home / SUMMARY).read_bytes(), type=Summary)
    assert summary.images is not None
    assert (summary.images.named, summary.images.encoded, summary.images.reused) == (10, 10, 0)
    assert not summary.images.left_out
    assert summary.item_vectors[IMAGE].items == 10
    red, also_red, green = (vector_of(home, item) for item in ("i0", "i5", "i1"))
    assert red @ also_red > red @ green


def test_the_second_rebuild_encodes_no_picture(home: Path) -> None:
    before = published_version(Workspace(home)).id
    again = build(home)
    assert again.images is not None and not again.changed and again.version == before
    assert (again.images.encoded, again.images.reused) == (0, 10)


def test_a_changed_picture_is_encoded_anew(home: Path) -> None:
    before = vector_of(home, "i3")
    Image.new("RGB", (33, 40), "white").save(home / "data" / "images" / "p3.png")
    summary = build(home)
    assert summary.images is not None and summary.changed
    assert (summary.images.encoded, summary.images.reused) == (1, 9)
    assert not np.allclose(vector_of(home, "i3"), before, atol=1e-2)
    assert np.allclose(vector_of(home, "i2"), vector_of(home, "i2"))


def test_a_picture_under_another_name_is_known(home: Path) -> None:
    pictures = home / "data" / "images"
    (pictures / "new").mkdir()
    (pictures / "p4.png").rename(pictures / "new" / "other.png")
    summary = build(home, {4: "new/other.png", 5: "new/other.png"})
    assert summary.images is not None
    assert (summary.images.encoded, summary.images.reused) == (0, 10)
    assert np.array_equal(vector_of(home, "i4"), vector_of(home, "i5"))


def test_a_bad_picture_costs_only_its_item_the_picture(home: Path) -> None:
    pictures = home / "data" / "images"
    whole = (pictures / "p0.png").read_bytes()
    (pictures / "cut.png").write_bytes(whole[:60])
    images = {0: "cut.png", 1: "https://cdn.example/1.png", 2: "../../items.jsonl", 3: "none.png"}
    summary = build(home, images)
    assert summary.images is not None
    left_out = summary.images.left_out
    assert {reason: one.count for reason, one in left_out.items()} == {
        "damaged": 1,
        "address": 1,
        "outside": 1,
        "missing": 1,
    }
    assert left_out["missing"].example == "none.png"
    assert (summary.items, summary.item_vectors[IMAGE].without) == (10, 4)
    assert vector_of(home, "i0") is None and vector_of(home, "i4") is not None
    assert any("4 of 10 pictures" in note and "none.png" in note for note in summary.notes)
    again = build(home, images)  # nothing is new, and it is said again
    assert again.images is not None and not again.changed
    assert {reason: one.count for reason, one in again.images.left_out.items()} == {
        reason: one.count for reason, one in left_out.items()
    }


def test_pictures_of_which_none_can_be_used(home: Path) -> None:
    shutil.rmtree(home / "data" / "images")
    source = home / "items.jsonl"
    summary = rebuild(workspace(home), source, progress=silent)
    assert summary.changed and IMAGE not in index_of(home).modalities
    assert any("no item has a picture that can be used" in note for note in summary.notes)
    again = rebuild(workspace(home), source, progress=silent)
    assert not again.changed and again.version == summary.version

    (home / "data" / "images").mkdir()
    (home / "data" / "images" / "p1.png").write_bytes(b"no picture")
    torn = rebuild(workspace(home), source, progress=silent)
    assert not torn.changed and torn.images is not None
    assert torn.images.left_out["no_picture"].count == 1
    assert build(home).changed and IMAGE in index_of(home).modalities


def test_without_a_model_no_picture_is_read(home: Path) -> None:
    summary = build(home, model="")
    assert summary.images is None and summary.changed
    assert IMAGE not in index_of(home).modalities
    assert list((home / "index" / "image_vectors").glob("*.bin"))  # known, when it comes back


def test_pictures_lie_in_the_folder_that_the_settings_name(home: Path) -> None:
    (home / "data" / "images").rename(home / "pictures")
    asked = workspace(home)
    asked = Workspace(home, {**asked.sections, ItemSettings: ItemSettings(image_folder="pictures")})
    summary = rebuild(asked, home / "items.jsonl", progress=silent)
    assert summary.images is not None and summary.images.reused == 10


def test_pictures_are_encoded_so_many_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from indexes.encoders.image_encoder import ImageEncoder

    sizes: list[int] = []
    encode = ImageEncoder.encode

    def counted(self: ImageEncoder, images: Any) -> Any:
        sizes.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(ImageEncoder, "encode", counted)
    shutil.rmtree(home / "index" / "image_vectors")
    build(home, batch=4)
    assert sizes == [4, 4, 2]


def test_the_text_tower_is_in_the_version(home: Path) -> None:
    modality = index_of(home).modalities[IMAGE]
    about = msgspec.json.decode((modality.folder / "encoder" / "encoder.json").read_bytes())
    assert about["runtime"] == "onnxruntime"  # no torch where it is served
    served = load_query_encoder(modality.folder / "encoder")
    encoder = load_image_encoder(ImageSettings(model=str(home / "clip" / "model")))
    assert encoder is not None and encoder.reads_texts
    texts = ["red shoes", "blue", "a tea kettle"]
    wanted = encoder.text_tower().encode_queries(texts)
    assert wanted.shape == (3, modality.dimensions)
    assert np.allclose(served.encode_queries(texts), wanted, atol=1e-4)
    Image.new("RGB", (33, 40), "white").save(home / "data" / "images" / "p3.png")
    build(home)
    taken_over = index_of(home).modalities[IMAGE].folder / "encoder"
    assert taken_over != modality.folder / "encoder"
    assert load_query_encoder(taken_over).fingerprint == served.fingerprint


def test_a_file_of_the_same_name_is_refused(home: Path) -> None:
    asked = workspace(home)
    sections = {**asked.sections, RebuildSettings: RebuildSettings(item_vectors=["image=x.npy"])}
    with pytest.raises(Failure, match=r"image\.model") as caught:
        rebuild(Workspace(home, sections), home / "items.jsonl", progress=silent)
    assert caught.value.field == "rebuild.item_vectors"


def test_the_command_counts_pictures(home: Path) -> None:
    asked = workspace(home)
    source = write_shop(home, {3: "none.png"})
    done = CliRunner().invoke(rebuild_command, ["--items", str(source), "--json"], obj=asked)
    assert done.exit_code == 0, done.output
    images = msgspec.json.decode(done.stdout.splitlines()[-1])["images"]
    assert (images["named"], images["encoded"], images["reused"]) == (10, 0, 9)
    assert images["left_out"] == {"missing": {"count": 1, "example": "none.png"}}
    shown = CliRunner().invoke(rebuild_command, ["--items", str(source)], obj=asked)
    assert "pictures         10 are named: 0 encoded, 9 known already, 1 left out" in shown.output
