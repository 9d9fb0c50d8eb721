"""bench_event_types.py: what views, carts, searches and purchases each add, on one home's events.

    python tests/benchmarks/bench_event_types.py --home DIR [--epochs N] [--seeds N]
    python tests/benchmarks/bench_event_types.py --home DIR --requests FILE --events FILE

The first: an encoder is trained on all events, and again with each type's events hidden from what
it reads: an event remains of which neither type nor item nor words are known. What has to be
foreseen stays the same, in training too. Each shopper's last item is then asked for, and nothing is
masked: all of them, and those whose item is new to the shopper.

The second: what a shop would lose that does not record a type. The events of FILE without it are
imported beside the home's index, counted (`reranker train --counts-only`), and the blend's NDCG@10
on the judged requests is held against that with all of them. Nothing of the home is changed.

Differences are paired, their intervals 95 %, by the bootstrap over shoppers or requests.
"""

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from indexes.storage.arrays import Floats, Ints, Mask
from indexes.workspace import Workspace
from reranker.metrics.intervals import paired_differences
from reranker.model.card import NONE
from reranker.model.settings import TrainSettings
from reranker.model_selection.next_item import split_parts, values
from reranker.training.batches import Cases
from reranker.training.data import TrainingData, index_catalogue, training_data
from reranker.training.inference import model_ranks
from reranker.training.loop import Training
from reranker.training.sequences import Sequences
from reranker.training.sources import imported_sequences, published_index

TYPES = ("view", "search", "cart", "purchase")
HIDDEN = "hidden"  # the type of an event of which nothing but its time is known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--requests", type=Path)
    parser.add_argument("--events", type=Path)
    args = parser.parse_args()
    if args.requests and args.events:
        blends(args.home, args.requests, args.events)
    else:
        next_items(Workspace(args.home), args.epochs, args.seeds)


def next_items(workspace: Workspace, epochs: int, seeds: int) -> None:
    """The encoder with and without each type among what it reads."""
    sequences = imported_sequences(workspace)
    catalogue, sequences, _ = index_catalogue(published_index(workspace), sequences)
    sequences = replace(sequences, weights={**sequences.weights, HIDDEN: 0.0})
    parts = split_parts(sequences, "leave-one-out")
    cases = parts.cases
    new = ~met_before(sequences, cases)
    counts = {kind: int(of_type(sequences, kind).sum()) for kind in TYPES}
    print(f"{len(cases):,} shoppers, {int(new.sum()):,} of them with an item new to them; {counts}")
    each: dict[str, list[Floats]] = {}
    for seed in range(1, seeds + 1):
        settings = TrainSettings(epochs=epochs, patience=epochs, minutes=0, seed=seed)
        data = training_data(sequences, catalogue, parts.limits, settings)
        for hidden in (None, *TYPES):
            ranks = foreseen(data, cases, settings, hidden)
            name = f"without {hidden}" if hidden else "all"
            each.setdefault(name, []).append(values(ranks))
    means = {name: np.mean(measured, axis=0) for name, measured in each.items()}
    for title, chosen in (("all", np.ones(len(cases), bool)), ("new to the shopper", new)):
        print(f"{title} ({int(chosen.sum()):,})      hit@10  ndcg@10   ndcg@10 less")
        for name, measured in means.items():
            row = measured[chosen]
            lost = told(means["all"][chosen][:, 1] - row[:, 1])
            print(f"  {name:<18}{row[:, 0].mean():8.4f}{row[:, 1].mean():9.4f}   {lost}")


def foreseen(data: TrainingData, cases: Cases, settings: TrainSettings, hidden: str | None) -> Ints:
    """The rank of each case's item, by an encoder that reads no event of this type."""
    if hidden is not None:
        sequences = without(data.sequences, hidden)
        windows = replace(data.windows, sequences=sequences)
        data = replace(data, sequences=sequences, windows=windows)
    training = Training(data, settings, mask_seen=False)
    model = training.run().model
    length = settings.length
    return model_ranks(model, training.items, data.sequences, cases, length, mask_seen=False)


def of_type(sequences: Sequences, kind: str) -> Mask:
    """Which events (events,) are of this type."""
    return np.asarray(sequences.types == list(sequences.weights).index(kind))


def without(sequences: Sequences, kind: str) -> Sequences:
    """The same, with nothing but their times known of the events of this type."""
    gone = of_type(sequences, kind)
    return replace(
        sequences,
        items=np.where(gone, NONE, sequences.items),
        queries=np.where(gone, NONE, sequences.queries),
        types=np.where(gone, list(sequences.weights).index(HIDDEN), sequences.types),
    )


def met_before(sequences: Sequences, cases: Cases) -> Mask:
    """Which cases' items (n,) stand in their history already."""
    begins = sequences.at[cases.shoppers]
    pairs = zip(begins.tolist(), cases.stops.tolist(), cases.targets.tolist(), strict=True)
    return np.array([target in sequences.items[begin:stop] for begin, stop, target in pairs])


def blends(home: Path, requests: Path, events: Path) -> None:
    """The blend with the counts of all events, and of all but one type."""
    each: dict[str, dict[str, float]] = {}
    for kind in (None, *TYPES):
        with tempfile.TemporaryDirectory() as folder:
            each[f"without {kind}" if kind else "all"] = counted(
                home, Path(folder), requests, events, kind
            )
    every = each["all"]
    print(f"{len(every):,} requests       ndcg@10   less")
    for name, measured in each.items():
        lost = told(np.array([every[request] - measured[request] for request in every]))
        print(f"  {name:<18}{np.mean(list(measured.values())):9.4f}   {lost}")


def counted(
    home: Path, folder: Path, requests: Path, events: Path, left_out: str | None
) -> dict[str, float]:
    """NDCG@10 of each request by a model of the counts of all events but those of one type."""
    shutil.copytree(home / "index", folder / "index", symlinks=True)
    kept, results = folder / "events.jsonl", folder / "each.jsonl"
    with kept.open("w") as file:
        file.writelines(lines_without(events, left_out))
    run(folder, "events", "import", str(kept))
    run(folder, "train", "--counts-only")
    run(folder, "evaluate", "--requests", str(requests), "--per-query", str(results))
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    return {row["id"]: row["metrics"]["default"]["ndcg@10"] for row in rows}


def lines_without(events: Path, kind: str | None) -> Iterator[str]:
    with gzip.open(events, "rt") as file:
        for line in file:
            if json.loads(line)["type"] != kind:
                yield line


def run(home: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "service.cli", "--home", str(home), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit(answer.stderr)


def told(differences: Floats) -> str:
    [one] = paired_differences(differences[:, None])
    return f"{one.mean:+.4f} ({one.low:+.4f} to {one.high:+.4f})"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
