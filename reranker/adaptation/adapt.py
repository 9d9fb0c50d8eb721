"""adapt.py: a home, and judged requests -> its text encoder, adapted and proved."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from indexes.build.settings import RebuildSettings
from indexes.encoders.adapted import encoder_settings, encoder_store
from indexes.encoders.models import load_modules
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import TextEncoder, load_encoder
from indexes.errors import Failure
from indexes.items.index import ItemIndex
from indexes.items.text import ItemText
from indexes.progress import Progress, bars
from indexes.workspace import Workspace
from reranker.adaptation.fine_tuning import BATCH, FineTuning, TextModel
from reranker.adaptation.questions import (
    Question,
    behaviour_questions,
    catalogue_questions,
    judged_questions,
    numbered,
)
from reranker.adaptation.report import AdaptReport, by_source, gain_of, gains_of, refusal
from reranker.adaptation.settings import AdaptSettings
from reranker.adaptation.trials import parts_of
from reranker.events.settings import EventSettings
from reranker.requests import JudgedRequest
from reranker.training.sources import NoEvents, imported_sequences, published_index
from reranker.tuning.lexical_engine import LexicalEngine

LEAST: Final = 50  # queries with wanted items without which nothing is tried
_MOST_GENERAL: Final = 200  # queries of the catalogue that check what others cost
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
    questions, general = _questions(workspace, settings, index, requests)
    parts = parts_of(questions, _SEED)
    if len(questions) < LEAST or not all(parts):
        raise TooFewQueries(
            f"There are {len(questions):,} queries with wanted items of the index, and {LEAST} are "
            "needed, to learn from and to prove it on.",
            hint="Import more events with searches, or name judged requests with --requests.",
        )
    encoder = load_encoder(msgspec.structs.replace(encoder_settings(workspace), dtype="float32"))
    model = _text_model(workspace, index, encoder, [*questions, *general])
    before, before_general = model.ndcgs(parts.proof), model.ndcgs(general)
    steps = -(-len(parts.learned) // BATCH) * settings.epochs
    with progress("steps", steps) as done:
        tuned = FineTuning(model, settings, done=done).run(parts.learned, parts.chosen)
    after = model.ndcgs(parts.proof) if tuned.share else before
    after_general = model.ndcgs(general) if tuned.share else before_general
    gains = gains_of(parts.proof, before, after)
    checked = None
    if general:
        checked = gain_of(before_general, after_general, [one.query for one in general])
    reason = refusal(tuned.share, gains.get("all"), checked)
    report = AdaptReport(
        base=workspace.section(EncoderSettings).model,
        learned=by_source(parts.learned),
        chosen=len(parts.chosen),
        tuned=msgspec.to_builtins(tuned),
        gains=gains,
        general=checked,
        offered=reason is None,
        reason=reason,
    )
    return report if reason else _stored(workspace, model, report, publish)


def _questions(
    workspace: Workspace,
    settings: AdaptSettings,
    index: ItemIndex,
    requests: Sequence[JudgedRequest],
) -> tuple[list[Question], list[Question]]:
    """What is learned from and proved on; and what checks that nothing else is lost."""
    engine = LexicalEngine(index)
    questions = judged_questions(requests, index)
    with suppress(NoEvents):
        sequences = imported_sequences(workspace)
        sequences = sequences.with_rows(index.rows(sequences.item_ids))
        minutes = workspace.section(EventSettings).session_minutes
        questions += behaviour_questions(sequences, minutes, settings.min_users, engine)
    asked = catalogue_questions(index, engine, _SEED)
    if not questions:
        return asked, []
    return questions, asked[:_MOST_GENERAL]


def _text_model(
    workspace: Workspace, index: ItemIndex, encoder: TextEncoder, questions: Sequence[Question]
) -> TextModel:
    template = ItemText(workspace.section(RebuildSettings).template)
    texts = {row: template.render(index.columns.item(row)) for row in numbered(questions).tolist()}
    prompts = encoder.model.query_prompt, encoder.model.document_prompt
    return TextModel(load_modules(encoder.model.folder), prompts, texts)


def _stored(
    workspace: Workspace, model: TextModel, report: AdaptReport, publish: bool
) -> AdaptReport:
    store = encoder_store(workspace.home)
    with store.stage() as staged:
        _save(model, staged)
        about = {"base": report.base, "report": msgspec.to_builtins(report)}
        version = store.publish(staged, about, switch=publish)
    store.prune(_KEEP)
    return msgspec.structs.replace(report, version=version.id, published=publish)


def _save(model: TextModel, folder: Path) -> None:
    """As a sentence-transformers model, without a card of the library's."""
    model.modules.save(str(folder), create_model_card=False)
