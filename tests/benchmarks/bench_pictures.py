"""bench_pictures.py: what pictures add in the demo shop, with a CLIP trained on its own pictures.

    python tests/benchmarks/bench_pictures.py prepare HOME --demo DEMO [--seconds 60]
    python tests/benchmarks/bench_pictures.py rebuild HOME [--template '{category}'] [--share 0.67]
    python tests/benchmarks/bench_pictures.py ranking HOME
    python tests/benchmarks/bench_pictures.py next-item HOME [--minutes 2]

prepare: copies a demo's home, draws its pictures as PNG of 48 pixels (with chromium), and trains a
small CLIP (real architecture, random beginning) on pairs of picture and caption for so long.
rebuild: with these pictures, or a share of them, and what the text encoder is to read.
ranking: the demo's judged searches, by the default blend without an encoder, with and without what
pictures say.
next-item: ranks each shopper's last item among all, by a model that reads the pictures, one trained
without modality dropout, and one that reads texts alone; by items with and without a picture.
"""

import argparse
import gzip
import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from PIL import Image
from support.chromium import chromium
from support.tiny_models import clip_model, clip_processor, saved_clip

from indexes.build.rebuild import rebuild
from indexes.build.settings import RebuildSettings
from indexes.encoders.settings import ImageSettings
from indexes.items.text import DEFAULT_TEMPLATE
from indexes.items.words import words
from indexes.workspace import Workspace
from reranker.blends.blend import WITHOUT_ENCODER
from reranker.evaluation.evaluate import evaluate
from reranker.evaluation.requests import read_requests
from reranker.model.settings import TrainSettings
from reranker.model_selection.next_item import split_parts
from reranker.ranking.state import NamedBlend, load_state
from reranker.training.data import index_catalogue, training_data
from reranker.training.inference import model_ranks, ndcg_at_10
from reranker.training.loop import Training
from reranker.training.sources import imported_sequences, published_index

EDGE = 48
BATCH = 64
COLUMNS = 40
_PAGE = 1600  # pictures drawn at once


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=["prepare", "rebuild", "ranking", "next-item"])
    parser.add_argument("home", type=Path)
    parser.add_argument("--demo", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--template", default=DEFAULT_TEMPLATE)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--minutes", type=float, default=2.0)
    options = parser.parse_args()
    if options.step == "prepare":
        prepare(options.demo, options.home, options.seconds)
    elif options.step == "rebuild":
        show(build(options.home, options.template, options.share))
    elif options.step == "ranking":
        show(ranking(options.home))
    else:
        show(next_item(options.home, options.minutes))


def show(result: dict[str, Any]) -> None:
    print(json.dumps(result), flush=True)


def items_of(home: Path) -> list[dict[str, Any]]:
    with gzip.open(home / "data" / "items.jsonl.gz") as lines:
        return [msgspec.json.decode(line) for line in lines]


def prepare(demo: Path, home: Path, seconds: float) -> None:
    shutil.copytree(demo, home, symlinks=True)
    items = items_of(home)
    draw(home / "data" / "images", [item["id"] for item in items])
    began = time.perf_counter()
    result = train_clip(home, items, seconds)
    show({"pictures": len(items), "seconds": round(time.perf_counter() - began)} | result)


def draw(folder: Path, ids: Sequence[str]) -> None:
    """A PNG beside each SVG, as a browser shows it."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": COLUMNS * EDGE, "height": 800})
        for start in range(0, len(ids), _PAGE):
            part = ids[start : start + _PAGE]
            cells = "".join(f"<i>{(folder / f'{item}.svg').read_text()}</i>" for item in part)
            style = f"*{{margin:0}}i{{float:left;width:{EDGE}px;height:{EDGE}px;overflow:hidden}}"
            style += f"svg{{width:{EDGE}px;height:{EDGE}px;display:block}}"
            page.set_content(f"<style>{style}</style>{cells}")
            shot = folder.parent / "page.png"
            page.screenshot(path=shot, full_page=True)
            with Image.open(shot) as sheet:
                for place, item in enumerate(part):
                    left, top = place % COLUMNS * EDGE, place // COLUMNS * EDGE
                    sheet.crop((left, top, left + EDGE, top + EDGE)).convert("RGB").save(
                        folder / f"{item}.png"
                    )
            shot.unlink()


def caption(item: dict[str, Any]) -> str:
    """What can be seen: the thing, its colour and material, its brand."""
    of = item["attributes"]
    seen = (item["category"].rpartition(">")[2], of.get("colour", ""), of.get("material", ""))
    return " ".join(words(" ".join((*seen, item["title"]))))


def train_clip(home: Path, items: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Contrastive, in batches of 64 pairs; a tenth of the pairs only says how far it came."""
    captions = [caption(item) for item in items]
    vocabulary = sorted({word for text in captions for word in text.split()})
    torch.manual_seed(1)
    model = clip_model(vocabulary, edge=EDGE, hidden=64)
    processor: Any = clip_processor(vocabulary, edge=EDGE)
    pictures = [Image.open(home / "data" / "images" / f"{item['id']}.png") for item in items]
    pixels = processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
    tokens = processor.tokenizer(captions, padding=True, truncation=True, return_tensors="pt")
    order = torch.randperm(len(items))
    held, learned = order[: len(items) // 10], order[len(items) // 10 :]

    def batch(rows: torch.Tensor) -> dict[str, torch.Tensor]:
        text = {name: tokens[name][rows] for name in ("input_ids", "attention_mask")}
        return text | {"pixel_values": pixels[rows]}

    adam = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        rows = learned[torch.randint(len(learned), (BATCH,))]
        loss = model(**batch(rows), return_loss=True).loss
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        steps += 1
    model.eval()
    with torch.no_grad():
        logits = model(**batch(held)).logits_per_image
    right = (logits.argmax(dim=1) == torch.arange(len(held))).float().mean()
    parts = home / "clip-parts"
    model.save_pretrained(parts)
    processor.save_pretrained(parts)
    saved_clip(parts, home / "clip")
    numbers = sum(weight.numel() for weight in model.parameters())
    return {"steps": steps, "parameters": numbers, f"right of {len(held)}": round(float(right), 3)}


def has_picture(item_id: str, share: float) -> bool:
    return int(hashlib.sha256(item_id.encode()).hexdigest()[:8], 16) < share * 2**32


def build(home: Path, template: str, share: float) -> dict[str, Any]:
    """The index with pictures of a share of the items; the rest name none."""
    source = home / "pictured.jsonl"
    with source.open("wb") as file:
        for item in items_of(home):
            image = f"{item['id']}.png" if has_picture(item["id"], share) else ""
            file.write(msgspec.json.encode(item | {"image": image}) + b"\n")
    sections = {
        RebuildSettings: RebuildSettings(template=template),
        ImageSettings: ImageSettings(model=str(home / "clip")),
    }
    done = rebuild(Workspace(home, sections), source)
    images = msgspec.to_builtins(done.images)
    return {"template": template, "share": share, "seconds": done.seconds, "images": images}


def ranking(home: Path) -> dict[str, Any]:
    """NDCG@10 of each arm, and how far it is above the one without pictures."""
    state = load_state(Workspace(home))
    requests = list(read_requests(home / "data" / "requests.jsonl.gz", lambda _bad: None))
    arms = {
        "pictures": {},
        "looks alone": {"depicts": 0.0},
        "depicts alone": {"looks": 0.0},
        "no pictures": {"looks": 0.0, "depicts": 0.0},
    }
    *tried, without = (NamedBlend(name, WITHOUT_ENCODER, 0, of) for name, of in arms.items())
    done = evaluate(requests, state, tried, compare=without)
    differences = {
        name: {of: round(value, 4) for of, value in msgspec.to_builtins(of["ndcg@10"]).items()}
        for name, of in done.differences.items()
    }
    metrics = {name: round(of["ndcg@10"], 4) for name, of in done.metrics.items()}
    return {"queries": done.queries, "ndcg@10": metrics, "above no pictures": differences}


def next_item(home: Path, minutes: float) -> dict[str, Any]:
    """Leave-one-out, by a small encoder: what shoppers look at again is not masked."""
    index = published_index(Workspace(home))
    sequences = imported_sequences(Workspace(home))
    catalogue, sequences, _ = index_catalogue(index, sequences, modalities=True)
    parts = split_parts(sequences, "leave-one-out")
    cases = parts.cases
    pictured = catalogue.modalities["image"].known[cases.targets]
    settings = TrainSettings(minutes=minutes, width=32, blocks=1, length=20, learning_rate=3e-3)
    without_dropout = msgspec.structs.replace(settings, modality_dropout=0.0)
    arms = {
        "pictures": (catalogue, settings),
        "pictures, no dropout": (catalogue, without_dropout),
        "texts alone": (replace(catalogue, modalities={}, model_modalities={}), settings),
    }
    result: dict[str, Any] = {"cases": len(cases), "with a picture": int(pictured.sum())}
    for name, (read, how) in arms.items():
        if name == "pictures, no dropout" and pictured.all():
            continue
        data = training_data(sequences, read, parts.limits, how)
        training = Training(data, how)
        done = training.run()
        ranks = model_ranks(
            done.model, training.items, data.sequences, cases, how.length, mask_seen=False
        )
        cold = ~np.isin(cases.targets, data.known)
        result[name] = {
            "epochs": done.epochs,
            "seconds": done.seconds,
            **figures("all", ranks),
            **figures("with a picture", ranks[pictured]),
            **figures("without one", ranks[~pictured]),
            **figures("not known by id", ranks[cold]),
        }
        print(name, json.dumps(result[name]), flush=True)
    return result


def figures(name: str, ranks: Any) -> dict[str, Any]:
    if not len(ranks):
        return {}
    return {
        f"{name}: n": len(ranks),
        f"{name}: hit@10": round(float((ranks <= 10).mean()), 4),
        f"{name}: ndcg@10": round(float(ndcg_at_10(ranks).mean()), 4),
        f"{name}: median rank": float(np.median(ranks)),
    }


if __name__ == "__main__":
    main()
