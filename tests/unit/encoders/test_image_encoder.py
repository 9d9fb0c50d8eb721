"""Pictures: read safely from one folder, encoded by a CLIP, compared with texts."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.tiny_models import tiny_bert, tiny_clip

from indexes.encoders.image_encoder import ImageEncoder, load_image_encoder
from indexes.encoders.image_files import BadImage, ImageFiles
from indexes.encoders.settings import ImageSettings
from indexes.errors import Failure


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def encoder(clip: Path) -> ImageEncoder:
    encoder = load_image_encoder(ImageSettings(model=str(clip)))
    assert encoder is not None
    return encoder


def files(folder: Path, **settings: int) -> ImageFiles:
    return ImageFiles(folder, ImageSettings(**settings))


def saved(path: Path, colour: str = "red", size: tuple[int, int] = (40, 30)) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path.read_bytes()


def reason(images: ImageFiles, name: str) -> str:
    with pytest.raises(BadImage) as caught:
        images.decoded(images.read(name))
    return caught.value.reason


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels, and ends there."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + struct.pack(">I", len(data) - 4)
        + data
        + struct.pack(">I", zlib.crc32(data))
    )


def test_only_paths_within_the_folder_are_read(tmp_path: Path) -> None:
    folder, outside = tmp_path / "images", tmp_path / "secret.png"
    saved(folder / "shoes" / "1.png")
    saved(outside)
    (folder / "out.png").symlink_to(outside)
    (folder / "in.png").symlink_to(folder / "shoes" / "1.png")
    os.mkfifo(folder / "pipe.png")
    images = files(folder)
    assert images.read("shoes/1.png") == images.read("in.png")
    assert reason(images, "out.png") == "outside"
    assert reason(images, "../secret.png") == "outside"
    assert reason(images, "shoes/../../secret.png") == "outside"
    assert reason(images, str(outside)) == "outside"
    for address in ("http://shop.example/1.png", "//cdn/1.png", "file:///etc/passwd", "data:,x"):
        assert reason(images, address) == "address"
    assert reason(images, "shoes") == "no_file"
    assert reason(images, "pipe.png") == "no_file"
    assert reason(images, "2.png") == "missing"
    assert reason(images, "1.png/2.png") == "missing"
    assert reason(images, "a\x00b.png") == "odd_path"


def test_what_is_no_sound_picture_has_a_reason(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.png", size=(300, 300))
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000))
    (tmp_path / "line.png").write_bytes(png_header(5_000, 1))
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "empty.png").touch()
    images = files(tmp_path, max_bytes=len(whole) + 5_000, max_pixels=100_000)
    assert images.decoded(images.read("whole.png")).size == (300, 300)
    assert reason(images, "cut.png") == "damaged"
    assert reason(images, "bomb.png") == "too_many_pixels"
    assert reason(images, "line.png") == "too_narrow"
    for name in ("drawing.svg", "script.eps", "empty.png"):
        assert reason(images, name) == "no_picture"


def test_image_limits(tmp_path: Path) -> None:
    size = len(saved(tmp_path / "a.png", size=(100, 100)))
    assert reason(files(tmp_path, max_bytes=size - 1), "a.png") == "too_many_bytes"
    assert reason(files(tmp_path, max_pixels=9_999), "a.png") == "too_many_pixels"
    images = files(tmp_path, max_bytes=size, max_pixels=10_000)
    assert images.decoded(images.read("a.png")).size == (100, 100)


def test_a_picture_is_read_as_a_person_sees_it(tmp_path: Path) -> None:
    see_through = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    see_through.save(tmp_path / "clear.png")
    see_through.convert("P").save(tmp_path / "clear.gif", transparency=0)
    Image.new("L", (2000, 1000), 128).save(tmp_path / "grey.jpg")
    turned = Image.new("RGB", (40, 20), "red")
    turned.save(tmp_path / "turned.jpg", exif=_turned_by_90())
    images = files(tmp_path)
    assert images.decoded(images.read("clear.png")).getpixel((5, 5)) == (255, 255, 255)
    assert images.decoded(images.read("clear.gif")).getpixel((5, 5)) == (255, 255, 255)
    grey = images.decoded(images.read("grey.jpg"))
    assert (grey.mode, grey.size) == ("RGB", (512, 256))
    assert images.decoded(images.read("turned.jpg")).size == (20, 40)


def _turned_by_90() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def test_vectors_are_units_and_differ_by_colour(encoder: ImageEncoder) -> None:
    pictures = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "red")]
    vectors = encoder.encode(pictures)
    assert vectors.shape == (3, encoder.dimensions) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[0], vectors[2], atol=1e-6)
    assert not np.allclose(vectors[0], vectors[1], atol=1e-3)


def test_a_model_has_to_read_pictures(tmp_path: Path) -> None:
    assert load_image_encoder(ImageSettings()) is None
    bert = tiny_bert(tmp_path / "bert")
    with pytest.raises(Failure, match="reads text, and no pictures") as caught:
        load_image_encoder(ImageSettings(model=str(bert)))
    assert caught.value.field == "image.model"
    with pytest.raises(Failure, match=r"image\.model: there is no folder"):
        load_image_encoder(ImageSettings(model=str(tmp_path / "nowhere")))


def test_no_pickle_and_no_code_of_an_image_model(clip: Path, tmp_path: Path) -> None:
    for name in ("config.json", "processor_config.json", "tokenizer.json", "modules.json"):
        (tmp_path / name).write_bytes((clip / name).read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(io.BytesIO(b"pickle").getvalue())
    with pytest.raises(Failure, match="is a pickle") as caught:
        load_image_encoder(ImageSettings(model=str(tmp_path)))
    assert caught.value.field == "image.model"


def test_a_fingerprint_is_of_the_models_files(encoder: ImageEncoder, clip: Path) -> None:
    again = load_image_encoder(ImageSettings(model=str(clip), batch=3))
    assert again is not None and again.fingerprint == encoder.fingerprint
