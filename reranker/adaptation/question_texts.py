"""question_texts.py: questions -> their queries and candidates as numbered texts, each once."""

from collections.abc import Callable, Sequence

import numpy as np

from indexes.storage.arrays import Ints, Rows, Vectors
from reranker.adaptation.questions import Question, numbered
from reranker.adaptation.trials import ndcg_of


class QuestionTexts:
    """texts: of all items first, by row, then of all queries.

    text_of: the text of the item in a row. prompts: before queries and before items.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        text_of: Callable[[int], str],
        prompts: tuple[str, str] = ("", ""),
    ) -> None:
        query_prompt, item_prompt = prompts
        self._rows = numbered(questions)
        queries = list(dict.fromkeys(question.query for question in questions))
        self._queries = {query: len(self._rows) + n for n, query in enumerate(queries)}
        self.texts = [item_prompt + text_of(row) for row in self._rows.tolist()]
        self.texts += [query_prompt + query for query in queries]

    def query(self, question: Question) -> int:
        """The number of its query's text."""
        return self._queries[question.query]

    def items(self, rows: Rows) -> Ints:
        """The numbers of these rows' texts."""
        return np.searchsorted(self._rows, rows)

    def of(self, questions: Sequence[Question]) -> Ints:
        """The numbers of all their texts, sorted."""
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
