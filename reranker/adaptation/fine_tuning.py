"""fine_tuning.py: questions -> a text encoder whose last layers have learned them.

A query's wanted items are to be nearer than its other candidates and than what other queries of the
batch want: softmax cross-entropy over cosines (InfoNCE, van den Oord et al. 2018), with the gains
as the distribution that is wanted (ListNet, Cao et al. 2007), so that graded judgments and clicks
are learned alike. Half of the other candidates that a step draws are those that the encoder itself
puts first: hard negatives. Each vector is held to the one that the model had for this text before
(1 - cosine, weighed by `adapt.anchor`), because full fine-tuning on few queries forgets the rest.
Now and then the `chosen` questions are asked: the state that ranks them best is taken, and learning
ends early where it gets no better. That state is mixed with the one before (weights averaged as in
WiSE-FT, Wortsman et al. 2022) by the share that they prefer; 0, the model as it was, is one.
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
from reranker.adaptation.question_texts import QuestionTexts
from reranker.adaptation.questions import Question
from reranker.adaptation.settings import AdaptSettings
from reranker.adaptation.text_model import TextModel, transformer_layers

BATCH: Final = 8  # queries a step
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
    """One adaptation of one model. before (n, d): vectors of all texts. clock: seconds, for the
    limit of minutes."""

    def __init__(
        self,
        model: TextModel,
        texts: QuestionTexts,
        before: Vectors,
        settings: AdaptSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        progress: Progress = silent,
    ) -> None:
        self._model, self._texts, self._before = model, texts, before
        self._settings, self._clock, self._progress = settings, clock, progress
        self._rng = np.random.default_rng(_SEED)
        torch.manual_seed(_SEED)

    def run(self, learned: Sequence[Question], chosen: Sequence[Question]) -> Tuned:
        """Leaves the model as the best share of the best state makes it."""
        began = self._clock()
        weights = trainable(self._model.modules, self._settings.layers)
        first = copied(weights)
        numbers = self._texts.of(chosen)
        plain = _mean(self._texts.ndcgs(chosen, numbers, self._before[numbers]))
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
            epochs=steps / steps_of(learned),
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
        most = steps_of(questions) * self._settings.epochs
        checks = {round(most * (n + 1) / CHECKS) for n in range(CHECKS)}
        optimiser = torch.optim.AdamW(weights.values(), lr=self._settings.rate, weight_decay=0.01)
        limit = self._settings.minutes * _SECONDS
        began, step = self._clock(), 0  # minutes are of learning: what there was is encoded by now
        with self._progress("steps", most) as done:
            for _ in range(self._settings.epochs):
                for numbers in self._epoch(questions):
                    passed = (self._clock() - began) / limit if limit else 0.0
                    if passed >= 1.0:
                        best.offer(self._ndcg(chosen), weights, step)
                        return step, "minutes"
                    rate = self._settings.rate * share_of_rate(max(step / most, passed))
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
        """Numbers of the questions of each step, no question twice in one where that can be."""
        visits = np.repeat(np.arange(len(questions)), [visits_of(one) for one in questions])
        order = self._rng.permutation(visits)
        return [part.tolist() for part in np.array_split(order, steps_of(questions))]

    def _loss(self, asked: Sequence[Question]) -> torch.Tensor:
        texts, device = self._texts, self._model.device
        drawn = [self._drawn(question) for question in asked]
        rows = np.array(list(dict.fromkeys(np.concatenate(drawn).tolist())), np.int64)
        numbers = np.append([texts.query(question) for question in asked], texts.items(rows))
        vectors = self._model.vectors(numbers)
        queries, items = vectors[: len(asked)], vectors[len(asked) :]
        log_shares = functional.log_softmax(queries @ items.T / TEMPERATURE, 1)
        wanted = torch.from_numpy(targets(asked, rows.tolist())).to(device)
        fit = -(wanted * log_shares).sum(1).mean()
        then = torch.from_numpy(self._before[numbers]).to(device)
        moved = 1 - (vectors * then).sum(1)
        held = moved[: len(asked)].mean() + moved[len(asked) :].mean()
        return fit + self._settings.anchor * held / TEMPERATURE

    def _drawn(self, question: Question) -> Rows:
        """Some that are wanted, by their gains; of the others half that the encoder puts first."""
        gains, rows = question.gains, question.rows
        most = min(WANTED, int((gains > 0).sum()))
        wanted = self._rng.choice(len(rows), most, replace=False, p=gains / gains.sum())
        others = np.delete(np.arange(len(rows)), wanted)
        cosines = (
            self._before[self._texts.items(rows[others])]
            @ self._before[self._texts.query(question)]
        )
        first = others[np.argsort(-cosines, kind="stable")]
        hard = first[: (DRAWN - most) // 2]
        rest = self._rng.permutation(first[len(hard) :])[: DRAWN - most - len(hard)]
        drawn: Rows = rows[np.concatenate([wanted, hard, rest])]
        return drawn

    def _ndcg(self, questions: Sequence[Question]) -> float:
        training = self._model.modules.training
        numbers: Ints = self._texts.of(questions)
        vectors = self._model.encoded(numbers)
        self._model.modules.train(training)
        return _mean(self._texts.ndcgs(questions, numbers, vectors))


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
    """How often an epoch asks a question, so that all that it wants has its turn."""
    return math.ceil(int((question.gains > 0).sum()) / WANTED)


def steps_of(questions: Sequence[Question]) -> int:
    """Of an epoch."""
    return max(1, math.ceil(sum(map(visits_of, questions)) / BATCH))


def targets(asked: Sequence[Question], rows: Sequence[int]) -> Vectors:
    """Shares (q, n) of each query's wish for these rows, adding up to 1."""
    place = {row: number for number, row in enumerate(rows)}
    shares = np.zeros((len(asked), len(rows)), np.float32)
    for number, question in enumerate(asked):
        for row, gain in zip(question.rows.tolist(), question.gains.tolist(), strict=True):
            if row in place:
                shares[number, place[row]] = gain
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
