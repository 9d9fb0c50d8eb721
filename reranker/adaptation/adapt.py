"""adapt.py: a home, and judged requests -> its text encoder, adapted and proved."""

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

import msgspec
import numpy as np

from indexes.build.settings import RebuildSettings
from indexes.encoders.adapted import (
    QUERIES,
    encoder_settings,
    encoder_store,
    query_settings,
    used_side,
)
from indexes.encoders.model_folders import model_folder
from indexes.encoders.models import load_modules
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import TextEncoder, load_encoder
from indexes.errors import Failure
from indexes.items.index import ItemIndex
from indexes.items.text import ItemText
from indexes.progress import Progress, bars
from indexes.storage.arrays import Ints, Vectors
from indexes.workspace import Workspace
from reranker.adaptation.candidates import Candidates
from reranker.adaptation.fine_tuning import FineTuning
from reranker.adaptation.question_vectors import QuestionVectors, Texts
from reranker.adaptation.questions import (
    Question,
    behaviour_questions,
    catalogue_questions,
    judged_questions,
)
from reranker.adaptation.report import AdaptReport, Gain, by_source, gain_of, gains_of, refusal
from reranker.adaptation.settings import AdaptSettings
from reranker.adaptation.text_model import TextModel
from reranker.adaptation.trials import Parts, parts_of
from reranker.events.settings import EventSettings
from reranker.requests import JudgedRequest
from reranker.training.sources import NoEvents, imported_sequences, published_index

LEAST: Final = 50  # queries with wanted items without which nothing is tried
_MOST_GENERAL: Final = 100  # queries of the catalogue that check what others cost
_KEEP: Final = 3
_SEED: Final = 7


class TooFewQueries(Failure):
    """There is not enough to learn from, and to prove it on."""


def adapt(
    workspace: Workspace,
    settings: AdaptSettings,
    requests: Sequence[JudgedRequest] = (),
    *,
    publish: bool = False,
    progress: Progress = bars,
) -> AdaptReport:
    """Learn, prove, and keep what is proved as a version, for the next rebuild if `publish`.

    requests: judged ones, beside what shoppers searched for; where there is neither, the catalogue
    asks. Raises NoIndex, TooFewQueries.
    """
    index = published_index(workspace)
    _check(workspace, settings, index)
    encoder = load_encoder(query_settings(workspace))
    candidates = Candidates(index, encoder, progress)
    questions, general = _questions(workspace, settings, index, requests, candidates)
    parts = parts_of(questions, _SEED)
    if len(questions) < LEAST or not all(parts):
        raise TooFewQueries(
            f"There are {len(questions):,} queries with wanted items of the index, and {LEAST} are "
            "needed, to learn from and to prove it on.",
            hint="Import more events with searches, or name judged requests with --requests.",
        )
    store = encoder_store(workspace.home)
    store.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=store.root) as kept:  # gone with the process, however it ends
        adapting = Adapting(workspace, settings, encoder, parts, general, kept, progress)
        report = adapting.report()
        if report.reason:
            return report
        with store.stage() as staged:
            adapting.save(staged)
            about = {
                "base": report.base,
                "side": settings.side,
                "report": msgspec.to_builtins(report),
            }
            version = store.publish(staged, about, switch=publish)
    store.prune(_KEEP)
    return msgspec.structs.replace(report, version=version.id, published=publish)


class Adapting:
    """The encoder in use and the texts that it learns from, is chosen by and proved on.

    before, after: NDCG@10 of each question that proves, once `report` is there.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: AdaptSettings,
        encoder: TextEncoder,
        parts: Parts,
        general: list[Question],
        kept: IO[bytes],
        progress: Progress,
    ) -> None:
        self._workspace, self._parts, self._general = workspace, parts, general
        self._settings, self._progress = settings, progress
        self._base = workspace.section(EncoderSettings).model
        index = published_index(workspace)
        template = ItemText(workspace.section(RebuildSettings).template)
        alone = settings.side == QUERIES
        self._texts = Texts(
            [*parts.learned, *parts.chosen, *parts.proof, *general],
            (encoder.model.query_prompt, encoder.model.document_prompt),
            None if alone else lambda row: template.render(index.columns.item(row)),
        )
        self._fixed = index.vectors(self._texts.rows) if alone else None
        self.model = TextModel(
            load_modules(encoder.model.folder), self._texts.all, settings.layers, kept, progress
        )
        self._vectors = QuestionVectors(self._texts, self.model, self._fixed)
        self._again = encoder.settings.model != self._base
        self.before: list[float] = []
        self.after: list[float] = []

    def report(self) -> AdaptReport:
        """Learns, and measures what it was worth."""
        parts, progress = self._parts, self._progress
        everything = np.arange(len(self._vectors))
        vectors = self._vectors.encoded(everything, progress, "vectors")
        before = self._measured(self._vectors, vectors, everything)
        learning = FineTuning(self._vectors, vectors, self._settings, progress=progress)
        tuned = learning.run(parts.learned, parts.chosen)
        after = self._measured_with(self._vectors, "proof") if tuned.share else before
        original = before
        if self._again:
            model = self.model.another(load_modules(model_folder(self._base)))
            other = QuestionVectors(self._texts, model, self._fixed)
            original = self._measured_with(other, "original")
        self.before, self.after = before.proof, after.proof
        gains = gains_of(parts.proof, before.proof, after.proof)
        general = self._of_general(original, after)
        reason = refusal(tuned.share, gains.get("all"), general)
        return AdaptReport(
            base=self._base,
            learned=by_source(parts.learned),
            chosen=len(parts.chosen),
            tuned=msgspec.to_builtins(tuned),
            gains=gains,
            of_original=gains_of(parts.proof, original.proof, after.proof) if self._again else None,
            general=general,
            offered=reason is None,
            reason=reason,
        )

    def save(self, folder: Path) -> None:
        """As a sentence-transformers model, without a card of the library's."""
        self.model.modules.save(str(folder), create_model_card=False)

    def _measured_with(self, vectors: QuestionVectors, stage: str) -> "_Measured":
        numbers = vectors.of([*self._parts.proof, *self._general])
        return self._measured(vectors, vectors.encoded(numbers, self._progress, stage), numbers)

    def _measured(self, of: QuestionVectors, vectors: Vectors, numbers: Ints) -> "_Measured":
        return _Measured(
            of.ndcgs(self._parts.proof, numbers, vectors),
            of.ndcgs(self._general, numbers, vectors),
        )

    def _of_general(self, before: "_Measured", after: "_Measured") -> Gain | None:
        if not self._general:
            return None
        queries = [question.query for question in self._general]
        return gain_of(before.general, after.general, queries)


class _Measured(NamedTuple):
    """NDCG@10 of each question."""

    proof: list[float]
    general: list[float]


def _check(workspace: Workspace, settings: AdaptSettings, index: ItemIndex) -> None:
    """Item vectors that stay as they are have to be the model's, and one side is learned on."""
    used = used_side(workspace)
    if used is not None and used != settings.side:
        raise Failure(
            f'adapt.side is "{settings.side}", and the adapted encoder in use reads "{used}".',
            field="adapt.side",
            hint="Run `reranker encoder rollback --to original` and `reranker rebuild` first.",
        )
    model = encoder_settings(workspace).model
    if settings.side == QUERIES and index.about["model"] != model:
        raise Failure(
            f"The items of index {index.version} were encoded with {index.about['model']}, and "
            f"would be with {model} now.",
            hint='Run `reranker rebuild --items FILE` first, or set adapt.side to "both".',
        )


def _questions(
    workspace: Workspace,
    settings: AdaptSettings,
    index: ItemIndex,
    requests: Sequence[JudgedRequest],
    candidates: Candidates,
) -> tuple[list[Question], list[Question]]:
    """What is learned from and proved on; and what checks that nothing else is lost."""
    questions = judged_questions(requests, index)
    with suppress(NoEvents):
        sequences = imported_sequences(workspace)
        sequences = sequences.with_rows(index.rows(sequences.item_ids))
        minutes = workspace.section(EventSettings).session_minutes
        questions += behaviour_questions(sequences, minutes, settings.min_users, candidates)
    if not questions:
        return catalogue_questions(index, candidates, _SEED), []
    return questions, catalogue_questions(index, candidates, _SEED, _MOST_GENERAL)
