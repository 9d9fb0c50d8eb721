"""fine_tuning.py: questions -> a text encoder whose last layers have learned them.

A query's wanted items are to be nearer than its other candidates and than items of other queries:
softmax cross-entropy over cosines (InfoNCE, van den Oord et al. 2018), with the gains as the
distribution that is wanted (ListNet, Cao et al. 2007), so that graded judgments and clicks are
learned alike. Item vectors stay as they are where queries alone learn; then a step has room for all
candidates and thousands of other items. Where items learn, too, half of the other candidates that a
step draws are those that the encoder itself puts first: hard negatives. Each vector is held to the
one that the model had for this text before (1 - cosine, weighed by `adapt.anchor`), because full
fine-tuning on few queries forgets the rest. Now and then the `chosen` questions are asked: the
state that ranks them best is taken, and learning ends early where it gets no better. That state is
mixed with the one before (weights averaged as in WiSE-FT, Wortsman et al. 2022) by the share that
they prefer; 0, the model as it was, is one.
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

from indexes.progress import Progress, silent
from indexes.storage.arrays import Ints, Rows, Vectors
from reranker.adaptation.question_vectors import QuestionVectors
from reranker.adaptation.questions import Question
from reranker.adaptation.settings import AdaptSettings
from reranker.adaptation.text_model import transformer_layers

BATCH: Final = 16  # queries a step
_LEAST_STEPS: Final = 60  # of a few queries each is seen more often than `adapt.epochs` says
_RATE: Final = 5e-4
_RATE_OF_ITEMS: Final = 2e-5  # where they learn, too
WANTED: Final = 4  # items that are wanted, of each
DRAWN: Final = 12  # candidates of each in all
SHARES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
TEMPERATURE: Final = 0.05
CHECKS: Final = 4  # times in a run that the chosen questions are asked
_PATIENCE: Final = 2  # checks without a better state
_SEED: Final = 7
_WARM: Final = 0.1  # of all steps, until the rate is at its highest
_SECONDS: Final = 60.0

Weights = Mapping[str, nn.Parameter]
State = Mapping[str, torch.Tensor]


class Tuned(msgspec.Struct, frozen=True):
    """share: of what was learned, 0: nothing. chosen: mean NDCG@10 of the questions that chose, by
    share. pairs: queries with an item that they want, learned from. best: the step whose state was
    taken. stopped: "epochs", "minutes" or "early"."""

    share: float
    chosen: dict[str, float]
    pairs: int
    steps: int
    best: int
    epochs: float
    seconds: float
    stopped: str


class FineTuning:
    """One adaptation of one model. before (n, d): vectors of all numbers. clock: seconds, for the
    limit of minutes."""

    def __init__(
        self,
        vectors: QuestionVectors,
        before: Vectors,
        settings: AdaptSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        progress: Progress = silent,
    ) -> None:
        self._vectors, self._model, self._before = vectors, vectors.model, before
        self._settings, self._clock, self._progress = settings, clock, progress
        self._rate = settings.rate or (_RATE_OF_ITEMS if vectors.items_learn else _RATE)
        self._rng = np.random.default_rng(_SEED)
        torch.manual_seed(_SEED)

    def run(self, learned: Sequence[Question], chosen: Sequence[Question]) -> Tuned:
        """Leaves the model as the best share of the best state makes it."""
        began = self._clock()
        weights = trainable(self._model.modules, self._settings.layers)
        first = copied(weights)
        numbers = self._vectors.of(chosen)
        plain = _mean(self._vectors.ndcgs(chosen, numbers, self._before[numbers]))
        best = _Best(copied(weights))
        steps, stopped = self._learn(learned, chosen, weights, best)
        ndcgs = {0.0: plain}
        with self._progress("choosing", len(SHARES) - 1) as done:
            for share in SHARES[1:]:
                mixed(weights, first, best.state, share)
                ndcgs[share] = self._ndcg(chosen)
                done(1)
        share = max(SHARES, key=lambda share: (ndcgs[share], -share))
        mixed(weights, first, best.state, share)
        self._model.modules.eval()
        return Tuned(
            share=share,
            chosen={f"{share:g}": value for share, value in ndcgs.items()},
            pairs=sum(int((question.gains > 0).sum()) for question in learned),
            steps=steps,
            best=best.step,
            epochs=steps / self._steps_of(learned),
            seconds=self._clock() - began,
            stopped=stopped,
        )

    def _learn(
        self,
        questions: Sequence[Question],
        chosen: Sequence[Question],
        weights: Weights,
        best: "_Best",
    ) -> tuple[int, str]:
        an_epoch = self._steps_of(questions)
        epochs = max(self._settings.epochs, math.ceil(_LEAST_STEPS / an_epoch))
        most = an_epoch * epochs
        checks = {round(most * (n + 1) / CHECKS) for n in range(CHECKS)}
        optimiser = torch.optim.AdamW(weights.values(), lr=self._rate, weight_decay=0.01)
        limit = self._settings.minutes * _SECONDS
        began, step = self._clock(), 0  # minutes are of learning: what there was is encoded by now
        with self._progress("steps", most) as done:
            for _ in range(epochs):
                for numbers in self._epoch(questions):
                    passed = (self._clock() - began) / limit if limit else 0.0
                    if passed >= 1.0:
                        best.offer(self._ndcg(chosen), weights, step)
                        return step, "minutes"
                    rate = self._rate * share_of_rate(max(step / most, passed))
                    for group in optimiser.param_groups:
                        group["lr"] = rate
                    loss = self._loss([questions[number] for number in numbers])
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(weights.values(), 1.0)
                    optimiser.step()
                    step += 1
                    done(1)
                    if step in checks and best.offer(self._ndcg(chosen), weights, step):
                        return step, "early"
        return step, "epochs"

    def _epoch(self, questions: Sequence[Question]) -> list[list[int]]:
        """Numbers of the questions of each step."""
        order = self._rng.permutation(self._visits(questions))
        return [part.tolist() for part in np.array_split(order, self._steps_of(questions))]

    def _steps_of(self, questions: Sequence[Question]) -> int:
        """Of an epoch."""
        return max(1, math.ceil(len(self._visits(questions)) / BATCH))

    def _visits(self, questions: Sequence[Question]) -> Ints:
        """Numbers of the questions. Where items learn, too, each comes so often that all that it
        wants has its turn."""
        visits = np.arange(len(questions))
        if not self._vectors.items_learn:
            return visits
        return np.repeat(visits, [visits_of(question) for question in questions])

    def _loss(self, asked: Sequence[Question]) -> torch.Tensor:
        rows = np.unique(np.concatenate([self._drawn(question) for question in asked]))
        rows = self._vectors.others(rows, self._rng)
        of_queries = np.array([self._vectors.query(question) for question in asked])
        of_items = self._vectors.items(rows)
        queries, items = self._vectors.vectors(of_queries, of_items)
        log_shares = functional.log_softmax(queries @ items.T / TEMPERATURE, 1)
        wanted = torch.from_numpy(targets(asked, rows)).to(queries.device)
        fit = -(wanted * log_shares).sum(1).mean()
        held = self._moved(queries, of_queries)
        if self._vectors.items_learn:
            held = held + self._moved(items, of_items)
        return fit + self._settings.anchor * held / TEMPERATURE

    def _moved(self, vectors: torch.Tensor, numbers: Ints) -> torch.Tensor:
        """How far from where they were, in the mean: 1 - cosine."""
        then = torch.from_numpy(self._before[numbers]).to(vectors.device)
        return 1 - (vectors * then).sum(1).mean()

    def _drawn(self, question: Question) -> Rows:
        """Of items that learn, too, some that are wanted, by their gains, and of the others half
        that the encoder puts first."""
        gains, rows = question.gains, question.rows
        if not self._vectors.items_learn:
            return rows
        most = min(WANTED, int((gains > 0).sum()))
        wanted = self._rng.choice(len(rows), most, replace=False, p=gains / gains.sum())
        others = np.delete(np.arange(len(rows)), wanted)
        cosines = (
            self._before[self._vectors.items(rows[others])]
            @ self._before[self._vectors.query(question)]
        )
        first = others[np.argsort(-cosines, kind="stable")]
        hard = first[: (DRAWN - most) // 2]
        rest = self._rng.permutation(first[len(hard) :])[: DRAWN - most - len(hard)]
        drawn: Rows = rows[np.concatenate([wanted, hard, rest])]
        return drawn

    def _ndcg(self, questions: Sequence[Question]) -> float:
        training = self._model.modules.training
        numbers: Ints = self._vectors.of(questions)
        vectors = self._vectors.encoded(numbers)
        self._model.modules.train(training)
        return _mean(self._vectors.ndcgs(questions, numbers, vectors))


class _Best:
    """The state that ranks best, and since how many checks it does."""

    def __init__(self, state: State) -> None:
        self.state, self.step = state, 0
        self._ndcg, self._worse = -math.inf, 0

    def offer(self, ndcg: float, weights: Weights, step: int) -> bool:
        """Whether it has been better for too long for this to go on."""
        if ndcg > self._ndcg:
            self.state, self.step = copied(weights), step
            self._ndcg, self._worse = ndcg, 0
        else:
            self._worse += 1
        return self._worse >= _PATIENCE


def visits_of(question: Question) -> int:
    """Steps until all that a question wants has its turn."""
    return math.ceil(int((question.gains > 0).sum()) / WANTED)


def targets(asked: Sequence[Question], rows: Rows) -> Vectors:
    """Shares (q, n) of each query's wish for these sorted rows, adding up to 1."""
    shares = np.zeros((len(asked), len(rows)), np.float32)
    for number, question in enumerate(asked):
        places = np.minimum(np.searchsorted(rows, question.rows), len(rows) - 1)
        here = rows[places] == question.rows
        shares[number, places[here]] = question.gains[here]
        shares[number] /= shares[number].sum()
    return shares


def trainable(modules: Any, layers: int) -> dict[str, nn.Parameter]:
    """The weights of the last so many transformer layers, by name; the others are frozen. 0: all
    weights."""
    stack = transformer_layers(modules)
    if not layers or not len(stack):
        chosen = dict(modules.named_parameters())
    else:
        last = {id(weight) for layer in stack[-layers:] for weight in layer.parameters()}
        chosen = {n: weight for n, weight in modules.named_parameters() if id(weight) in last}
    for weight in modules.parameters():
        weight.requires_grad_(False)
    for weight in chosen.values():
        weight.requires_grad_(True)
    return chosen


def mixed(weights: Weights, before: State, after: State, share: float) -> None:
    """Set the weights to this share of the way from before to after."""
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(torch.lerp(before[name], after[name], share))


def copied(weights: Weights) -> State:
    """A copy that learning leaves as it is."""
    return {name: weight.detach().clone() for name, weight in weights.items()}


def share_of_rate(passed: float) -> float:
    """Of the highest rate, by which share of all steps or minutes has passed: up over the first
    tenth, then down to 0."""
    return min((passed + 0.01) / _WARM, (1.0 - passed) / (1.0 - _WARM))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
