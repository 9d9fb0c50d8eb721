"""question_vectors.py: questions -> vectors of their queries and candidates, by number."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch

from indexes.progress import Progress, silent
from indexes.storage.arrays import Ints, Rows, Vectors
from reranker.adaptation.questions import Question, numbered
from reranker.adaptation.text_model import TextModel
from reranker.adaptation.trials import ndcg_of

_OTHERS: Final = 4_096  # items drawn for a step, where their vectors are fixed


class Texts:
    """What a model is to read: items by row, then queries; or queries alone."""

    def __init__(
        self,
        questions: Sequence[Question],
        prompts: tuple[str, str],
        item_text: Callable[[int], str] | None,
    ) -> None:
        query_prompt, item_prompt = prompts
        self.rows = numbered(questions)
        self.queries = list(dict.fromkeys(question.query for question in questions))
        self.all = [query_prompt + query for query in self.queries]
        if item_text is not None:
            self.all[:0] = [item_prompt + item_text(row) for row in self.rows.tolist()]


class QuestionVectors:
    """Vectors of queries, and of items: made by the model too, or fixed.

    fixed (rows, d): of all rows that stand in the questions, where the model reads queries alone.
    Numbers are those of the rows first, then those of the queries.
    """

    def __init__(self, texts: Texts, model: TextModel, fixed: Vectors | None = None) -> None:
        self.model, self._texts, self._fixed = model, texts, fixed
        first = len(texts.rows)
        self._numbers = {query: first + number for number, query in enumerate(texts.queries)}
        self._skipped = 0 if fixed is None else first

    def __len__(self) -> int:
        return len(self._texts.rows) + len(self._texts.queries)

    def query(self, question: Question) -> int:
        """The number of its query."""
        return self._numbers[question.query]

    def items(self, rows: Rows) -> Ints:
        """The numbers of these rows."""
        return np.searchsorted(self._texts.rows, rows)

    def others(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """These rows, and some that any query may be told from at no cost."""
        if self._fixed is None:
            return rows
        drawn = rng.choice(self._texts.rows, min(_OTHERS, len(self._texts.rows)), replace=False)
        return np.union1d(rows, drawn)

    @property
    def items_learn(self) -> bool:
        """Whether the model makes the vectors of items, too."""
        return self._fixed is None

    def vectors(self, queries: Ints, items: Ints) -> tuple[torch.Tensor, torch.Tensor]:
        """(q, d) and (n, d), with gradients where something learns."""
        if self._fixed is None:
            vectors = self.model.vectors(np.append(queries, items))
            return vectors[: len(queries)], vectors[len(queries) :]
        of_items = torch.from_numpy(self._fixed[items]).to(self.model.device)
        return self.model.vectors(queries - self._skipped), of_items

    def encoded(self, numbers: Ints, progress: Progress = silent, stage: str = "") -> Vectors:
        """(n, d), without gradients. numbers: sorted."""
        if self._fixed is None:
            return self.model.encoded(numbers, progress, stage)
        items, queries = np.split(numbers, [np.searchsorted(numbers, self._skipped)])
        of_queries = self.model.encoded(queries - self._skipped, progress, stage)
        return np.concatenate([self._fixed[items], of_queries])

    def of(self, questions: Sequence[Question]) -> Ints:
        """The numbers of all their queries and candidates, sorted."""
        queries = np.array([self.query(question) for question in questions], np.int64)
        return np.union1d(self.items(numbered(questions)), queries)

    def ndcgs(self, questions: Sequence[Question], numbers: Ints, vectors: Vectors) -> list[float]:
        """NDCG@10 of each question by cosine alone. vectors (n, d): of these numbers, sorted."""
        return [
            ndcg_of(
                question,
                vectors[np.searchsorted(numbers, self.query(question))],
                vectors[np.searchsorted(numbers, self.items(question.rows))],
            )
            for question in questions
        ]
