"""picture_shop.py: ten items of one and the same text, each with a picture, and a CLIP."""

from pathlib import Path
from typing import Any, Final

import msgspec
from PIL import Image
from support.tiny_models import WORDS, tiny_bert, tiny_clip

from indexes.build.rebuild import Summary, rebuild
from indexes.encoders.settings import EncoderSettings, ImageSettings
from indexes.progress import silent
from indexes.workspace import Settings, Workspace

COLOURS: Final = ("red", "green", "blue", "yellow", "black")  # of items 0 to 4, and of 5 to 9
ITEMS: Final = 10
SUMMARY: Final = "summary.json"  # what the first rebuild said


def build_pictured(folder: Path) -> Path:
    """The home of the shop, built; its text tower is exported, which takes seconds."""
    home = folder / "home"
    tiny_bert(home / "bert", words=WORDS)
    tiny_clip(home / "clip")
    (home / SUMMARY).write_bytes(msgspec.json.encode(build(home)))
    return home


def workspace(home: Path, **image: Any) -> Workspace:
    """A home of the shop with its models."""
    sections: dict[type[Settings], Settings] = {
        EncoderSettings: EncoderSettings(model=str(home / "bert" / "model")),
        ImageSettings: ImageSettings(**({"model": str(home / "clip" / "model")} | image)),
    }
    return Workspace(home, sections)


def build(home: Path, images: dict[int, str] | None = None, **image: Any) -> Summary:
    """Rebuild a home, with other files for the pictures of some items."""
    return rebuild(workspace(home, **image), write_shop(home, images), progress=silent)


def write_shop(folder: Path, images: dict[int, str] | None = None) -> Path:
    """Its catalogue, and each picture that is not there, in data/images."""
    pictures = folder / "data" / "images"
    pictures.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(ITEMS):
        name = f"p{number}.png"
        if not (pictures / name).exists():
            size = (30 + number, 40)
            Image.new("RGB", size, COLOURS[number % len(COLOURS)]).save(pictures / name)
        image = (images or {}).get(number, name)
        item = {"id": f"i{number}", "title": "running shoes", "image": image}
        lines.append(msgspec.json.encode(item))
    source = folder / "items.jsonl"
    source.write_bytes(b"\n".join(lines) + b"\n")
    return source
