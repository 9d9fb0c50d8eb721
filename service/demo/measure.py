"""measure.py: the demo's requests on the main path -> Measured: how good, and how much is left."""

from dataclasses import dataclass
from pathlib import Path

from reranker.evaluation.evaluate import Evaluation, evaluate
from reranker.evaluation.requests import read_requests
from reranker.evaluation.results import ENGINE, QueryResult
from reranker.metrics.ranking import grades_of, ndcg
from reranker.ranking.state import ServedState
from reranker.requests import JudgedRequest
from service.demo.season.oracle import Share, Truth, gain_report, read_oracle
from service.page.parts.request_sets import ORACLE, REQUESTS

METRIC = "ndcg@10"
_TELLING = (METRIC, "precision@10")


@dataclass(frozen=True)
class Measured:
    """The evaluation, the share of the possible gain, and the request that shows it best."""

    evaluation: Evaluation
    blend: str
    shares: list[Share]
    shown: JudgedRequest
    truth: Truth


def measure(state: ServedState, data: Path) -> Measured:
    """Evaluate the published blend on the demo's requests, and hold it against the oracle."""
    requests = list(read_requests(data / REQUESTS, lambda _bad: None))
    truths = read_oracle(data / ORACLE)
    results: list[QueryResult] = []
    evaluation = evaluate(requests, state, on_query=results.append)
    blend = state.published.name
    engine, blended = _by_request(results, ENGINE), _by_request(results, blend)
    best = {request.id: best_possible(request, truths[request.id]) for request in requests}
    shown = _telling(requests, truths, results, blend)
    return Measured(
        evaluation,
        blend,
        gain_report(truths, engine, blended, best),
        shown,
        truths[shown.id],
    )


def best_possible(request: JudgedRequest, truth: Truth) -> float:
    """The metric of the oracle's ranking."""
    grades = grades_of(truth.ranking, request.ratings)
    return ndcg(grades, list(request.ratings.values()), 10)


def _by_request(results: list[QueryResult], order: str) -> dict[str, float]:
    return {result.id: result.metrics[order][METRIC] for result in results if not result.left_out}


def _telling(
    requests: list[JudgedRequest], truths: dict[str, Truth], results: list[QueryResult], blend: str
) -> JudgedRequest:
    """The search that gains most among those in words of the shopper's own, not of the shop."""

    def worth(result: QueryResult) -> tuple[bool, float, str]:
        words, intent = result.query.lower().split(), truths[result.id].intent.split()
        own_words = len(words) >= 3 and not set(words) & set(intent)
        gain = sum(
            result.metrics[blend][metric] - result.metrics[ENGINE][metric] for metric in _TELLING
        )
        return own_words, round(gain, 9), result.id

    best = max((result for result in results if not result.left_out), key=worth)
    return next(request for request in requests if request.id == best.id)
