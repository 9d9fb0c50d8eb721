"""A CLIP that learned colours: what only pictures tell moves rankings and what is recommended, for
the shopper who buys that look, and for the words of a query."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from flask.testing import FlaskClient
from PIL import Image, ImageDraw
from support.tiny_models import clip_model, clip_processor, saved_clip, tiny_bert

from indexes.build.rebuild import rebuild
from indexes.encoders.settings import EncoderSettings, ImageSettings
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.events.events import HistoryEvent
from reranker.histories.store import open_histories
from reranker.model.settings import TrainSettings
from reranker.model_selection.train import train
from reranker.ranking.settings import RankingSettings
from service.app import create_app

COLOURS = ("red", "green", "blue", "yellow", "black", "white")
EDGE, STEPS = 32, 120
EACH = 12  # items of each colour; the last four nobody has met
NEW = 4

pytestmark = pytest.mark.heavy


def drawn(colour: str, rng: np.random.Generator) -> Image.Image:
    """A circle or a square of the colour, somewhere, of some size, on grey."""
    image = Image.new("RGB", (EDGE, EDGE), (128, 128, 128))
    size = int(rng.integers(12, 24))
    left, top = rng.integers(0, EDGE - size, 2).tolist()
    draw = ImageDraw.Draw(image)
    shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
    shape((left, top, left + size, top + size), fill=colour)
    return image


def learned_clip(folder: Path) -> Path:
    """So many steps of the contrastive loss, on one picture of each colour a step."""
    torch.manual_seed(3)
    model, processor = clip_model(COLOURS, edge=EDGE), clip_processor(COLOURS, edge=EDGE)
    rng, adam = np.random.default_rng(3), torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(STEPS):
        inputs = processor(
            images=[drawn(colour, rng) for colour in COLOURS],
            text=list(COLOURS),
            return_tensors="pt",
            padding=True,
        )
        adam.zero_grad()
        model(**inputs, return_loss=True).loss.backward()
        adam.step()
    model.save_pretrained(folder / "parts")
    processor.save_pretrained(folder / "parts")
    return saved_clip(folder / "parts", folder / "model")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """Items of the same words, shoppers who keep to one look, and a trained model."""
    home = tmp_path_factory.mktemp("looks")
    (home / "data" / "images").mkdir(parents=True)
    rng = np.random.default_rng(4)
    lines = []
    for number in range(EACH * len(COLOURS)):
        drawn(COLOURS[number % len(COLOURS)], rng).save(home / "data" / "images" / f"{number}.png")
        item = {"id": f"{number}", "title": "lamp", "image": f"{number}.png"}
        lines.append(msgspec.json.encode(item))
    (home / "items.jsonl").write_bytes(b"\n".join(lines))
    sections: dict[Any, Any] = {
        EncoderSettings: EncoderSettings(model=str(tiny_bert(home / "bert"))),
        ImageSettings: ImageSettings(model=str(learned_clip(home / "clip"))),
        RankingSettings: RankingSettings(budget_ms=60_000),
        TrainSettings: TrainSettings(
            width=16,
            epochs=15,
            learning_rate=0.02,
            batch_users=32,
            min_validation_shoppers=5,
            encoder_proof=False,
        ),
    }
    workspace = Workspace(home, sections)
    summary = rebuild(workspace, home / "items.jsonl", progress=silent)
    assert summary.images is not None and summary.images.encoded == len(lines)
    histories = open_histories(workspace)
    histories.append(walks(rng))
    histories.close()
    train(workspace, workspace.section(TrainSettings), lambda _line: None, progress=silent)
    return create_app(workspace).test_client()


def walks(rng: np.random.Generator) -> list[HistoryEvent]:
    """Each shopper buys six items of one look that are not new."""
    return [
        HistoryEvent(
            type="purchase",
            item=f"{number * len(COLOURS) + shopper % len(COLOURS)}",
            time=1.7e9 + 3600.0 * step,
            user=f"u{shopper}",
        )
        for shopper in range(160)
        for step, number in enumerate(rng.permutation(EACH - NEW)[:6].tolist())
    ]


def new_items() -> list[str]:
    return [f"{number}" for number in range((EACH - NEW) * len(COLOURS), EACH * len(COLOURS))]


def look_of(item: str) -> str:
    return COLOURS[int(item) % len(COLOURS)]


def ranked(client: FlaskClient, **body: Any) -> list[str]:
    sent = {"candidates": [{"id": item, "score": 1.0} for item in new_items()]} | body
    answer = client.post("/rerank", json=sent)
    assert answer.status_code == 200, answer.text
    return [result["id"] for result in answer.get_json()["results"]]


@pytest.mark.parametrize("look", range(len(COLOURS)))
def test_who_buys_a_look_is_ranked_and_recommended_it(client: FlaskClient, look: int) -> None:
    """Among items that nobody has met, whose words are all the same."""
    first = ranked(client, user=f"u{look}")[:NEW]
    assert sum(look_of(item) == COLOURS[look] for item in first) >= NEW - 1
    only = {"candidates": [{"id": item, "score": 1.0} for item in new_items()]}
    behaviour = client.post(
        "/rerank", json=only | {"user": f"u{look}", "explain": True}
    ).get_json()["results"]
    by_encoder = sorted(
        behaviour,
        key=lambda result: -result["explanation"]["signals"]["behaviour"]["raw"],
    )[:NEW]
    assert sum(look_of(result["id"]) == COLOURS[look] for result in by_encoder) >= NEW - 1
    answer = client.post("/recommend", json={"user": f"u{look}", "top_n": 5})
    looks = [look_of(result["id"]) for result in answer.get_json()["results"]]
    assert looks.count(COLOURS[look]) >= 4


@pytest.mark.parametrize("look", COLOURS)
def test_the_words_of_a_query_find_the_look(client: FlaskClient, look: str) -> None:
    first = ranked(client, query=look, weights={"semantic": 0.0})[:NEW]
    assert sum(look_of(item) == look for item in first) >= NEW - 1
