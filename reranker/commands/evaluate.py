"""evaluate.py: `reranker evaluate` on the command line."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from indexes.errors import Failure
from indexes.progress import bars
from indexes.readers.bad_lines import BadLines
from indexes.workspace import Workspace
from reranker.commands.finite_range import FiniteRange
from reranker.commands.input_files import InputFile
from reranker.commands.next_action import next_action_command
from reranker.commands.next_item import next_item_command
from reranker.commands.output import echo_json, json_option
from reranker.commands.request_files import (
    Checked,
    checked_judgments,
    checked_requests,
    explained,
    usable_requests,
)
from reranker.evaluation.conditions import Failed, fail_if, failed
from reranker.evaluation.evaluate import WEIGHTED, Evaluation, by_blend, evaluate, weighted
from reranker.evaluation.judgments import Judgments
from reranker.evaluation.provenance import Hashes, hashes_of, read_saved, stale
from reranker.evaluation.report import report
from reranker.evaluation.results import QueryResult
from reranker.evaluation.settings import EvaluationSettings
from reranker.metrics.ranking import DEFAULT_METRICS, measures
from reranker.ranking.state import load_state
from reranker.ranking.weights import typed_weights
from reranker.requests import JudgedRequest

FILE = click.Path(path_type=Path)


@click.command("stale")
@click.argument("result", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option("End with the changes as one JSON object.")
@click.pass_context
def stale_command(context: click.Context, result: Path, as_json: bool) -> None:
    """Say what has changed since RESULT was saved with --save-result.

    Exit status 1 when anything has: blends, requests, judgments, index, model or code.
    """
    workspace: Workspace = context.obj
    changes = stale(read_saved(result), workspace)
    if as_json:
        echo_json({"stale": changes})
    elif changes:
        click.echo("\n".join([f"{result} is stale:", *(f"  {change}" for change in changes)]))
    else:
        click.echo(f"{result} still holds: nothing that it was made from has changed.")
    if changes:
        context.exit(1)


@click.group("evaluate", invoke_without_command=True)
@click.option(
    "--requests", "source", type=InputFile(), help="Judged requests: .jsonl or .jsonl.gz."
)
@click.option(
    "--judgments",
    type=InputFile(),
    help="Ratings that replace those of the requests: Quepid's .csv or Search Relevance "
    "Workbench's .json by query text, or TREC qrels by request id.",
)
@click.option(
    "--blend", "blends", multiple=True, help="A blend, published or not; may be given again."
)
@click.option("--compare", help="Compare with this blend instead of the engine.")
@click.option(
    "--weights",
    default="",
    metavar="SIGNAL:X,...",
    help="Multiply signals of the evaluated blend, as `weights` of POST /rerank does: "
    "semantic:0.5,popular:2. The result is called NAME+weights.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help=f"ndcg@K, precision@K, recall@K, hit@K, mrr, map; default {', '.join(DEFAULT_METRICS)}.",
)
@click.option("--linear-gain", is_flag=True, help="ndcg gains the grade, not 2^grade - 1.")
@click.option(
    "--max-bad-share",
    type=FiniteRange(0, 1),
    help="Share of bad lines that is let pass; default evaluation.max_bad_share (0.01).",
)
@click.option("--per-query", type=FILE, help="Write each query's metrics to this .jsonl file.")
@click.option(
    "--strangers",
    "wrong_history",
    is_flag=True,
    help="Also rank with another shopper's history and with none: what a wrong history costs.",
)
@click.option(
    "--allow-leak",
    is_flag=True,
    help="Also requests of shoppers whose later events the model was trained on.",
)
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    metavar="EXPR",
    help='Exit with 1 where this holds of the difference, such as "ndcg@10<-0.005" (the mean) or '
    '"ndcg@10.high<0" (an end of its interval: .low, .high); may be given again.',
)
@click.option(
    "--save-result",
    "saved",
    type=FILE,
    help="Write the result as JSON; `reranker evaluate stale FILE` says when it no longer holds.",
)
@json_option("End with the result as one JSON object.")
@click.pass_context
def evaluate_command(context: click.Context, /, source: Path | None, **options: Any) -> None:
    """Compare a blend's order with the engine's on judged requests.

    Without --blend the published blend is evaluated. No index and no blend is changed. The report
    ends with the queries that gain and lose most, and with kinds of request on their own.
    """
    if context.invoked_subcommand is not None:
        if source is not None:
            raise click.UsageError("--requests goes with `reranker evaluate` itself.")
        return
    if source is None:
        raise click.UsageError("Missing option '--requests'.")
    if _evaluate(context.obj, EvaluateOptions(source, **options)):
        context.exit(1)


evaluate_command.add_command(next_item_command)
evaluate_command.add_command(next_action_command)
evaluate_command.add_command(stale_command)


@dataclass(frozen=True)
class EvaluateOptions:
    """The options of one evaluation."""

    source: Path
    judgments: Path | None
    blends: tuple[str, ...]
    compare: str | None
    weights: str
    metrics: tuple[str, ...]
    linear_gain: bool
    max_bad_share: float | None
    per_query: Path | None
    wrong_history: bool
    allow_leak: bool
    conditions: tuple[str, ...]
    saved: Path | None
    as_json: bool


def _evaluate(workspace: Workspace, options: EvaluateOptions) -> list[Failed]:
    """Evaluate and report; the conditions of --fail-if that hold."""
    settings = workspace.section(EvaluationSettings)
    share = settings.max_bad_share if options.max_bad_share is None else options.max_bad_share
    chosen = measures(options.metrics or DEFAULT_METRICS, options.linear_gain)
    weights = typed_weights(options.weights)
    conditions = [fail_if(condition, chosen.names) for condition in options.conditions]
    _check_folder(options.saved)
    state = load_state(workspace)
    judged, bad_judgments = checked_judgments(options.judgments, share)
    checked = checked_requests(options.source, share, workspace, state, judged)
    requests: Iterable[JudgedRequest] = usable_requests(options.source, workspace)
    with (
        explained(checked.warnings),
        _writer(options.per_query) as write,
        bars("evaluate", checked.count, "queries") as advance,
    ):
        result = evaluate(
            judged.rated(requests) if judged else requests,
            state,
            [weighted(state.named(name), weights) for name in options.blends or (None,)],
            compare=state.named(options.compare) if options.compare else None,
            metrics=chosen,
            linear_gain=options.linear_gain,
            settings=settings,
            on_query=lambda query: (write(query), advance(1)),
            allow_leak=options.allow_leak,
            wrong_history=options.wrong_history,
        )
    blends = dict.fromkeys(name.removesuffix(WEIGHTED) for name in result.blends)
    hashes = hashes_of(workspace, state, blends, options.source, options.judgments)
    fails = failed(conditions, by_blend(result))
    result = msgspec.structs.replace(result, warnings=checked.warnings + result.warnings)
    whole = _json(result, checked, judged, bad_judgments, hashes, fails)
    if options.saved:
        options.saved.write_bytes(whole + b"\n")
    if options.as_json:
        click.echo(whole)
    else:
        matched = judged.requests_matched if judged else None
        unusable = bad_judgments.count if bad_judgments else 0
        unrated = judged.unrated if judged else 0
        click.echo(report(result, checked.bad.count, unusable, matched, unrated))
    for failure in fails:
        click.echo(f"failed: {failure}", err=True)
    return fails


def _check_folder(path: Path | None) -> None:
    """Failure before hours of work where the result could not be written."""
    if path is not None and not path.parent.is_dir():
        raise Failure(f"{path.parent} is no folder.", field="save_result", hint="Make it first.")


def _writer(path: Path | None) -> AbstractContextManager[Callable[[QueryResult], object]]:
    return nullcontext(lambda _result: None) if path is None else _file_writer(path)


@contextmanager
def _file_writer(path: Path) -> Iterator[Callable[[QueryResult], object]]:
    with path.open("wb") as file:
        yield lambda result: file.write(msgspec.json.encode(result) + b"\n")


def _json(
    result: Evaluation,
    checked: Checked,
    judged: Judgments | None,
    bad_judgments: BadLines | None,
    hashes: Hashes,
    fails: list[Failed],
) -> bytes:
    counts: dict[str, Any] = {"bad_lines": {"requests": checked.bad.count}}
    if bad_judgments is not None:
        counts["bad_lines"]["judgments"] = bad_judgments.count
    if judged is not None:
        unrated = {"unrated_rows": judged.unrated} if judged.unrated else {}
        counts["judgments"] = {"requests_matched": judged.requests_matched, **unrated}
    provenance = {"hashes": hashes, "failed": fails}
    return msgspec.json.encode(msgspec.to_builtins(result) | counts | provenance)
