"""bench_adapt.py: what `reranker adapt` is worth by text alone, on queries it never saw.

    python tests/benchmarks/bench_adapt.py --home HOME --requests FILE [--other NAME=HOME:FILE]

The judged queries are halved by a hash of their text. One half teaches (a fifth of it chooses when
to stop, and how much of it is taken), the other is asked; then they change places. What shoppers
searched for teaches alone, too, and all judged queries are asked; and beside the judgments. Other
shops are asked with what this one learned: they must not lose. Nothing is published.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import xxhash

from indexes.encoders.models import load_modules
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import TextEncoder, load_encoder
from indexes.items.words import folded
from indexes.progress import bars
from indexes.workspace import Workspace
from reranker.adaptation.adapt import Adapting
from reranker.adaptation.candidates import Candidates
from reranker.adaptation.question_vectors import QuestionVectors, Texts
from reranker.adaptation.questions import (
    Question,
    behaviour_questions,
    catalogue_questions,
    judged_questions,
)
from reranker.adaptation.report import Gain, gain_of
from reranker.adaptation.settings import AdaptSettings
from reranker.adaptation.text_model import TextModel
from reranker.adaptation.trials import Parts
from reranker.evaluation.requests import read_requests
from reranker.events.settings import EventSettings
from reranker.training.sources import NoEvents, imported_sequences, published_index
from service.settings import load_workspace

GENERAL: Final = 100
SEED: Final = 7


@dataclass(frozen=True, eq=False)
class Shop:
    """A home, the queries that judges and shoppers tell of, and queries made of its catalogue."""

    name: str
    workspace: Workspace
    judged: list[Question]
    searched: list[Question]
    general: list[Question]


def shop_of(name: str, home: Path, requests: Path) -> Shop:
    workspace = load_workspace(home, None, {})
    index = published_index(workspace)
    encoder = load_encoder(workspace.section(EncoderSettings))
    candidates = Candidates(index, encoder, bars)
    try:
        sequences = imported_sequences(workspace)
        sequences = sequences.with_rows(index.rows(sequences.item_ids))
        minutes = workspace.section(EventSettings).session_minutes
        searched = behaviour_questions(sequences, minutes, 2, candidates)
    except NoEvents:
        searched = []
    return Shop(
        name,
        workspace,
        judged_questions(read_requests(requests, lambda _bad: None), index),
        searched,
        catalogue_questions(index, candidates, SEED, GENERAL),
    )


def share_of(question: Question, seed: int) -> float:
    """From 0 to 1, the same for a query however it is written."""
    return xxhash.xxh3_64_intdigest(folded(question.query).encode(), seed=seed) / 2.0**64


def trials(shop: Shop) -> Iterator[tuple[str, Parts]]:
    halves = [
        [one for one in shop.judged if (share_of(one, 11) < 0.5) == first]
        for first in (True, False)
    ]
    for name, teaching, asked in (("A -> B", *halves), ("B -> A", *halves[::-1])):
        yield f"judgments {name}", _parts(teaching, asked)
        if shop.searched:
            queries = {folded(one.query) for one in asked}
            unseen = [one for one in shop.searched if folded(one.query) not in queries]
            yield f"judgments and searches {name}", _parts([*teaching, *unseen], asked)
    if shop.searched:
        yield "searches alone", _parts(shop.searched, shop.judged)


def _parts(teaching: Sequence[Question], asked: list[Question]) -> Parts:
    chosen = [one for one in teaching if share_of(one, 5) < 0.2]
    return Parts([one for one in teaching if share_of(one, 5) >= 0.2], chosen, asked)


def run(shop: Shop, others: Sequence[Shop], settings: AdaptSettings) -> None:
    workspace = shop.workspace
    encoder = load_encoder(workspace.section(EncoderSettings))
    for name, parts in trials(shop):
        began, clock = time.process_time(), time.monotonic()
        with tempfile.TemporaryFile() as kept:
            adapting = Adapting(workspace, settings, encoder, parts, shop.general, kept, bars)
            report = adapting.report()
        seconds, wall = time.process_time() - began, time.monotonic() - clock
        pairs, steps = report.tuned["pairs"], report.tuned["steps"]
        print(
            f"\n{shop.name}, {name}: {len(parts.learned):,} queries, {pairs:,} pairs, "
            f"{steps:,} steps, {seconds:,.0f} s of a processor ({wall:,.0f} s), "
            f"{report.tuned['share']:.0%} taken"
        )
        for group, gain in report.gains.items():
            print(_line(group, gain))
        seen = {folded(one.query) for one in (*parts.learned, *parts.chosen)}
        for group, known in (("seen", True), ("new", False)):
            members = [
                n for n, one in enumerate(parts.proof) if (folded(one.query) in seen) == known
            ]
            if seen and members and len(members) < len(parts.proof):
                before, after = (
                    np.array(ndcgs)[members].tolist() for ndcgs in (adapting.before, adapting.after)
                )
                print(_line(group, gain_of(before, after, [parts.proof[n].query for n in members])))
        if report.general:
            print(_line("catalogue", report.general))
        for other in others:
            print(_line(other.name, beside(other, adapting.model, encoder)))


def beside(other: Shop, model: TextModel, encoder: TextEncoder) -> Gain:
    """What another shop's judged queries gain by what this one learned."""
    prompts = encoder.model.query_prompt, encoder.model.document_prompt
    texts = Texts(other.judged, prompts, None)
    fixed = published_index(other.workspace).vectors(texts.rows)
    ndcgs = []
    for modules in (load_modules(encoder.model.folder), model.modules):
        vectors = QuestionVectors(texts, TextModel(modules, texts.all, 0, io.BytesIO()), fixed)
        numbers = vectors.of(other.judged)
        ndcgs.append(vectors.ndcgs(other.judged, numbers, vectors.encoded(numbers)))
    return gain_of(ndcgs[0], ndcgs[1], [question.query for question in other.judged])


def _line(name: str, gain: Gain) -> str:
    apart = gain.difference
    interval = "" if apart.low is None else f"({apart.low:+.4f} to {apart.high:+.4f})"
    means = f"{gain.before:>9.4f}{gain.after:>9.4f}{apart.mean:>+9.4f}"
    return f"  {name:<12}{gain.queries:>6,}{means}  {interval}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--other", action="append", default=[], metavar="NAME=HOME:REQUESTS")
    args = parser.parse_args()
    others = []
    for argument in args.other:
        name, _, rest = argument.partition("=")
        home, _, requests = rest.partition(":")
        others.append(shop_of(name, Path(home), Path(requests)))
    shop = shop_of(args.home.name, args.home, args.requests)
    run(shop, others, shop.workspace.section(AdaptSettings))


if __name__ == "__main__":
    main()
