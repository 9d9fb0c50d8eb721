"""evaluate_command.py: `reranker evaluate` on the command line."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
import msgspec

from indexes.errors import Failure
from indexes.progress import bars
from indexes.workspace import Workspace
from reranker.evaluation import Evaluation, EvaluationSettings, evaluate
from reranker.evaluation_report import report
from reranker.judged_requests import BadLines, read_requests
from reranker.judgments import Judgments, read_judgments
from reranker.metrics import DEFAULT_METRICS, measures
from reranker.next_action_command import next_action_command
from reranker.next_item_command import next_item_command
from reranker.query_results import QueryResult
from reranker.requests import JudgedRequest
from reranker.state import load_state

FILE = click.Path(path_type=Path)


@click.group("evaluate", invoke_without_command=True)
@click.option("--requests", "source", type=FILE, help="Judged requests: .jsonl or .jsonl.gz.")
@click.option(
    "--judgments",
    type=FILE,
    help="Ratings that replace those of the requests: Quepid's .csv by query text, or TREC qrels "
    "by request id.",
)
@click.option(
    "--blend", "blends", multiple=True, help="A blend, published or not; may be given again."
)
@click.option("--compare", help="Compare with this blend instead of the engine.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help=f"ndcg@K, precision@K, recall@K, hit@K, mrr, map; default {', '.join(DEFAULT_METRICS)}.",
)
@click.option("--linear-gain", is_flag=True, help="ndcg gains the grade, not 2^grade - 1.")
@click.option(
    "--max-bad-share",
    type=click.FloatRange(0, 1),
    help="Share of bad lines that is let pass; default evaluation.max_bad_share (0.01).",
)
@click.option("--per-query", type=FILE, help="Write each query's metrics to this .jsonl file.")
@click.option(
    "--strangers",
    is_flag=True,
    help="Also rank with another shopper's history and with none: what a wrong history costs.",
)
@click.option(
    "--allow-leak",
    is_flag=True,
    help="Also requests of shoppers whose later events the model was trained on.",
)
@click.option("--json", "as_json", is_flag=True, help="End with the result as one JSON object.")
@click.pass_context
def evaluate_command(context: click.Context, /, source: Path | None, **options: Any) -> None:
    """Compare a blend's order with the engine's on judged requests.

    Without --blend the published blend is evaluated. No index and no blend is changed.
    """
    if context.invoked_subcommand is not None:
        if source is not None:
            raise click.UsageError("--requests goes with `reranker evaluate` itself.")
        return
    if source is None:
        raise click.UsageError("Missing option '--requests'.")
    _evaluate(context.obj, source, **options)


evaluate_command.add_command(next_item_command)
evaluate_command.add_command(next_action_command)


def _evaluate(
    workspace: Workspace,
    source: Path,
    judgments: Path | None,
    blends: tuple[str, ...],
    compare: str | None,
    metrics: tuple[str, ...],
    linear_gain: bool,
    max_bad_share: float | None,
    per_query: Path | None,
    strangers: bool,
    allow_leak: bool,
    as_json: bool,
) -> None:
    settings = workspace.section(EvaluationSettings)
    share = settings.max_bad_share if max_bad_share is None else max_bad_share
    chosen = measures(metrics or DEFAULT_METRICS, linear_gain)
    state = load_state(workspace)
    total, bad = checked_requests(source, share)
    judged, bad_judgments = checked_judgments(judgments, share)
    requests: Iterable[JudgedRequest] = read_requests(source, lambda _bad: None)
    with _writer(per_query) as write, bars("evaluate", total, "queries") as done:
        result = evaluate(
            judged.rated(requests) if judged else requests,
            state,
            blends or (None,),
            compare=compare,
            metrics=chosen,
            linear_gain=linear_gain,
            settings=settings,
            on_query=lambda query: (write(query), done(1)),
            allow_leak=allow_leak,
            strangers=strangers,
        )
    matched = judged.requests_matched if judged else None
    if as_json:
        click.echo(_json(result, bad, bad_judgments, matched))
    else:
        click.echo(report(result, bad.count, bad_judgments.count if bad_judgments else 0, matched))


def checked_requests(path: Path, max_bad_share: float) -> tuple[int, BadLines]:
    """How many requests there are. The file is read twice: bad lines show before hours of work."""
    bad = BadLines(path)
    count = sum(1 for _ in read_requests(path, bad.add))
    _show(bad)
    bad.check(count, max_bad_share)
    if not count:
        raise Failure(f"{path} holds no request.", hint="One JSON object a line is expected.")
    return count, bad


def checked_judgments(
    path: Path | None, max_bad_share: float
) -> tuple[Judgments | None, BadLines | None]:
    if path is None:
        return None, None
    bad = BadLines(path)
    judgments = read_judgments(path, bad.add)
    _show(bad)
    bad.check(judgments.rows, max_bad_share)
    if not judgments.rows:
        raise Failure(
            f"{path} holds no judgment.",
            hint="Expected: a .csv with query,docid,rating, or TREC qrels.",
        )
    return judgments, bad


def _show(bad: BadLines) -> None:
    for line, reason in bad.first:
        click.echo(f"{bad.path} line {line}: {reason}", err=True)
    if bad.count > len(bad.first):
        click.echo(f"... {bad.count - len(bad.first):,} more bad lines", err=True)


def _writer(path: Path | None) -> AbstractContextManager[Callable[[QueryResult], object]]:
    return nullcontext(lambda _result: None) if path is None else _file_writer(path)


@contextmanager
def _file_writer(path: Path) -> Iterator[Callable[[QueryResult], object]]:
    with path.open("wb") as file:
        yield lambda result: file.write(msgspec.json.encode(result) + b"\n")


def _json(
    result: Evaluation, bad: BadLines, bad_judgments: BadLines | None, matched: int | None
) -> str:
    counts: dict[str, Any] = {"bad_lines": {"requests": bad.count}}
    if bad_judgments is not None:
        counts["bad_lines"]["judgments"] = bad_judgments.count
        counts["judgments"] = {"requests_matched": matched}
    return msgspec.json.encode(msgspec.to_builtins(result) | counts).decode()
