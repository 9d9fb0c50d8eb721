"""fine_tuning.py: questions -> a text encoder whose last layers have learned them.

A query's wanted items are to be nearer than its other candidates and than what other queries of the
batch want: softmax cross-entropy over cosines (InfoNCE, van den Oord et al. 2018), with the gains
as the distribution that is wanted (ListNet, Cao et al. 2007), so that graded judgments and clicks
are learned alike. Half of the candidates that a step draws are those that the encoder itself puts
first: hard negatives. Each vector is held to the one that the model had for this text before
(1 - cosine, weighed by `adapt.anchor`), because full fine-tuning on few queries forgets the rest.
What is learned is mixed with what was there (weights averaged as in WiSE-FT, Wortsman et al. 2022)
by the share that ranks the `chosen` questions best; 0, the model as it was, is one of the shares.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from indexes.storage.arrays import Rows, Vectors
from reranker.adaptation.questions import Question, numbered
from reranker.adaptation.settings import AdaptSettings
from reranker.adaptation.trials import ndcg_of

BATCH: Final = 8  # queries a step
DRAWN: Final = 8  # candidates of each
SHARES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
TEMPERATURE: Final = 0.05
_SEED: Final = 7
_WARM: Final = 0.1  # of all steps, until the rate is at its highest
_ENCODED: Final = 64  # texts at once where nothing is learned
_SECONDS: Final = 60.0

Texts = Mapping[int, str]  # of items, by row


class Tuned(msgspec.Struct, frozen=True):
    """share: of what was learned, 0: nothing. chosen: mean NDCG@10 of the questions that chose, by
    share. stopped: "epochs" or "minutes"."""

    share: float
    chosen: dict[str, float]
    steps: int
    epochs: float
    seconds: float
    stopped: str


class TextModel:
    """A sentence-transformers model: texts in, unit vectors out."""

    def __init__(self, modules: Any, prompts: tuple[str, str], texts: Texts) -> None:
        self.modules, self._texts = modules, texts
        self._query_prompt, self._item_prompt = prompts

    def queries(self, queries: Sequence[str]) -> torch.Tensor:
        """(n, d), with gradients where they are on."""
        return self._forward([self._query_prompt + query for query in queries])

    def items(self, rows: Sequence[int]) -> torch.Tensor:
        """(n, d), with gradients where they are on."""
        return self._forward([self._item_prompt + self._texts[row] for row in rows])

    def vectors_of(self, questions: Sequence[Question]) -> tuple[Vectors, dict[int, Vectors]]:
        """Of the queries (q, d) and of all candidates, by row, as the model is now."""
        rows = numbered(questions).tolist()
        rows.sort(key=lambda row: len(self._texts[row]))  # little padding
        self.modules.eval()
        with torch.no_grad():
            items = [self.items(rows[at : at + _ENCODED]) for at in range(0, len(rows), _ENCODED)]
            asked = [question.query for question in questions]
            queries = [
                self.queries(asked[at : at + _ENCODED]) for at in range(0, len(asked), _ENCODED)
            ]
        of_items = torch.cat(items).cpu().numpy() if items else np.zeros((0, 1), np.float32)
        of_queries = torch.cat(queries).cpu().numpy() if queries else np.zeros((0, 1), np.float32)
        return of_queries, dict(zip(rows, of_items, strict=True))

    def ndcgs(self, questions: Sequence[Question]) -> list[float]:
        """NDCG@10 of each question by cosine alone."""
        queries, items = self.vectors_of(questions)
        return [
            ndcg_of(question, query, np.stack([items[row] for row in question.rows.tolist()]))
            for question, query in zip(questions, queries, strict=True)
        ]

    def _forward(self, texts: list[str]) -> torch.Tensor:
        features = self.modules.preprocess(texts)
        features = {
            name: value.to(self.modules.device) if hasattr(value, "to") else value
            for name, value in features.items()
        }
        vectors: torch.Tensor = self.modules(features)["sentence_embedding"].float()
        return functional.normalize(vectors, dim=1)


class FineTuning:
    """One adaptation of one model. clock: seconds, for the limit of minutes."""

    def __init__(
        self,
        model: TextModel,
        settings: AdaptSettings,
        clock: Callable[[], float] = time.monotonic,
        done: Callable[[int], object] = lambda _n: None,
    ) -> None:
        self._model, self._settings, self._clock, self._done = model, settings, clock, done
        self._rng = np.random.default_rng(_SEED)
        torch.manual_seed(_SEED)

    def run(self, learned: Sequence[Question], chosen: Sequence[Question]) -> Tuned:
        """Leaves the model as the best share of what was learned makes it."""
        began = self._clock()
        queries, items = self._model.vectors_of(learned)
        self._before = [torch.from_numpy(query) for query in queries], items
        learning = trainable(self._model.modules, self._settings.layers)
        before = {name: weight.detach().clone() for name, weight in learning.items()}
        steps, stopped = self._learn(learned, list(learning.values()))
        after = {name: weight.detach().clone() for name, weight in learning.items()}
        ndcgs = {}
        for share in SHARES:
            mixed(learning, before, after, share)
            ndcgs[share] = float(np.mean(self._model.ndcgs(chosen))) if chosen else 0.0
        best = max(SHARES, key=lambda share: (ndcgs[share], -share))
        mixed(learning, before, after, best)
        self._model.modules.eval()
        return Tuned(
            share=best,
            chosen={f"{share:g}": value for share, value in ndcgs.items()},
            steps=steps,
            epochs=steps / max(1, math.ceil(len(learned) / BATCH)),
            seconds=self._clock() - began,
            stopped=stopped,
        )

    def _learn(self, questions: Sequence[Question], weights: list[nn.Parameter]) -> tuple[int, str]:
        an_epoch = math.ceil(len(questions) / BATCH)
        most = an_epoch * self._settings.epochs
        optimiser = torch.optim.AdamW(weights, lr=self._settings.rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, most))
        self._model.modules.train()
        began, step = self._clock(), 0  # minutes are of learning: what there was is encoded by now
        for _ in range(self._settings.epochs):
            for numbers in np.array_split(self._rng.permutation(len(questions)), an_epoch):
                limit = self._settings.minutes * _SECONDS
                if limit and self._clock() - began >= limit:
                    return step, "minutes"
                loss = self._loss(questions, numbers.tolist())
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(weights, 1.0)
                optimiser.step()
                schedule.step()
                step += 1
                self._done(1)
        return step, "epochs"

    def _loss(self, questions: Sequence[Question], numbers: list[int]) -> torch.Tensor:
        asked = [questions[number] for number in numbers]
        drawn = [self._drawn(number, questions[number]) for number in numbers]
        rows = list(dict.fromkeys(row for part in drawn for row in part.tolist()))
        queries = self._model.queries([question.query for question in asked])
        items = self._model.items(rows)
        log_shares = functional.log_softmax(queries @ items.T / TEMPERATURE, 1)
        fit = -(torch.from_numpy(targets(asked, rows)) * log_shares).sum(1).mean()
        of_queries, of_items = self._before
        then = torch.stack([of_queries[number] for number in numbers])
        then_items = torch.stack([torch.from_numpy(of_items[row]) for row in rows])
        moved = (1 - (queries * then).sum(1)).mean() + (1 - (items * then_items).sum(1)).mean()
        return fit + self._settings.anchor * moved / TEMPERATURE

    def _drawn(self, number: int, question: Question) -> Rows:
        """One that is wanted, by its gain; of the others half that the encoder puts first."""
        gains, rows = question.gains, question.rows
        wanted = self._rng.choice(len(rows), p=gains / gains.sum())
        others = np.delete(np.arange(len(rows)), wanted)
        of_queries, of_items = self._before
        items = np.stack([of_items[int(row)] for row in rows[others]]) if len(others) else None
        if items is None:
            return rows[[wanted]]
        first = others[np.argsort(-(items @ of_queries[number].numpy()), kind="stable")]
        hard = first[: (DRAWN - 1) // 2]
        rest = self._rng.permutation(first[len(hard) :])[: DRAWN - 1 - len(hard)]
        drawn: Rows = rows[np.concatenate([[wanted], hard, rest])]
        return drawn


def targets(asked: Sequence[Question], rows: Sequence[int]) -> Vectors:
    """Which share of what each query wants (q, n) each item of the batch is; an item of another
    query's list is not wanted, unless it is among this query's wanted ones, too."""
    wanted = np.zeros((len(asked), len(rows)), np.float32)
    for number, question in enumerate(asked):
        gains = dict(zip(question.rows.tolist(), question.gains.tolist(), strict=True))
        wanted[number] = [gains.get(row, 0.0) for row in rows]
    shares: Vectors = wanted / np.maximum(wanted.sum(axis=1, keepdims=True), 1e-9)
    return shares


def trainable(modules: Any, layers: int) -> dict[str, nn.Parameter]:
    """The weights of the last so many transformer layers and of all after them, by name; the others
    are frozen. 0: all weights."""
    stacks = [module for module in modules.modules() if isinstance(module, nn.ModuleList)]
    stack = max(stacks, key=len, default=None)
    if not layers or stack is None:
        chosen = dict(modules.named_parameters())
    else:
        last = {id(weight) for layer in stack[-layers:] for weight in layer.parameters()}
        chosen = {n: weight for n, weight in modules.named_parameters() if id(weight) in last}
    for weight in modules.parameters():
        weight.requires_grad_(False)
    for weight in chosen.values():
        weight.requires_grad_(True)
    return chosen


def mixed(
    weights: Mapping[str, nn.Parameter],
    before: Mapping[str, torch.Tensor],
    after: Mapping[str, torch.Tensor],
    share: float,
) -> None:
    """Set the weights to this share of the way from before to after."""
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(torch.lerp(before[name], after[name], share))


def _rate(step: int, steps: int) -> float:
    """Up over the first tenth, then down to 0, as a share of the highest."""
    warm = max(1, round(steps * _WARM))
    return (step + 1) / warm if step < warm else max(0.0, (steps - step) / max(1, steps - warm))
