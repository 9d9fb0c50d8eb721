"""tune.py: `reranker tune` on the command line."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec

from indexes.errors import Failure
from indexes.progress import bars
from indexes.workspace import Workspace
from reranker.blends.blend import NAME, Blend, Kind
from reranker.commands.finite_range import FiniteRange
from reranker.commands.input_files import InputFile
from reranker.commands.output import echo_result, json_option
from reranker.commands.request_files import (
    checked_judgments,
    checked_requests,
    explained,
    usable_requests,
)
from reranker.evaluation.leakage import fingerprint
from reranker.evaluation.settings import EvaluationSettings
from reranker.metrics.ranking import DEFAULT_METRICS, measures
from reranker.ranking.state import ServedState, load_state
from reranker.requests import JudgedRequest
from reranker.tuning.tune import Tuning

_KINDS: tuple[Kind, ...] = ("linear", "curves", "trees")


def save_tuned(
    state: ServedState,
    blend: Blend,
    tuning: Tuning,
    requests: Iterable[JudgedRequest],
    name: str,
    author: str,
    note: str,
) -> str:
    """Store the blend, not published; its `name@version`."""
    summary = f"tuned ({tuning.chosen}): {_gain(tuning)} on {tuning.held_out} queries held out"
    tuned = msgspec.structs.replace(
        blend, name=name, author=author, note=note or summary, version=None
    )
    names = state.keys.open()
    facts = {
        "recommended": tuning.recommended,
        "tuned": msgspec.to_builtins(tuning),
        "fitted_on": sorted({fingerprint(request, names) for request in requests}),
    }
    stored, number = state.store.save(tuned, who=author, about=facts)
    return f"{stored.name}@{number}"


def _gain(tuning: Tuning) -> str:
    if tuning.clicks is not None:
        return f"clicks {tuning.proof.mean:+.4f} a search (estimate) against {tuning.published}"
    mean = tuning.difference[tuning.metric].mean
    return f"{tuning.metric} {mean:+.4f} against {tuning.compared_with}"


@click.command("tune")
@click.option(
    "--requests",
    "sources",
    type=InputFile(),
    multiple=True,
    required=True,
    help="Judged requests: .jsonl or .jsonl.gz; may be given again.",
)
@click.option("--judgments", type=InputFile(), help="Ratings that replace those of the requests.")
@click.option("--save", help="Store the chosen blend under this name, not published.")
@click.option("--from", "base", help="Begin with this blend; default the published one.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(_KINDS),
    help="Kinds that compete; may be given again; default all three.",
)
@click.option("--without", multiple=True, help="Leave this signal out; may be given again.")
@click.option("--compare", help="Gain over this blend instead of the engine.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help=f"The first is what counts; default {', '.join(DEFAULT_METRICS)}.",
)
@click.option(
    "--split",
    type=click.Choice(["auto", "unit", "time"]),
    default="auto",
    show_default=True,
    help="Hold out whole shoppers (else queries), or the latest third; auto: time for a log in "
    "which shoppers come again.",
)
@click.option("--author", default="", help="Who answers for the blend.")
@click.option("--note", default="", help="Why it was made.")
@click.option(
    "--allow-leak",
    is_flag=True,
    help="Also requests of shoppers whose later events the model was trained on.",
)
@click.option("--max-bad-share", type=FiniteRange(0, 1), help="Share of bad lines let pass.")
@json_option("End with the result as one JSON object.")
@click.pass_obj
def tune_command(workspace: Workspace, /, **options: Any) -> None:
    """Fit blends of all kinds to judged requests, and prove them on requests held out.

    The kind is chosen on validation queries, the figures are of others. Nothing is published:
    `reranker blends publish NAME` does that.
    """
    _check_installed()
    _tune(workspace, **options)


def _tune(
    workspace: Workspace,
    sources: tuple[Path, ...],
    judgments: Path | None,
    save: str | None,
    base: str | None,
    kinds: tuple[Kind, ...],
    without: tuple[str, ...],
    compare: str | None,
    metrics: tuple[str, ...],
    split: Any,
    author: str,
    note: str,
    allow_leak: bool,
    max_bad_share: float | None,
    as_json: bool,
) -> None:
    from reranker.tuning.report import report
    from reranker.tuning.tune import TuneOptions, tune

    settings = workspace.section(EvaluationSettings)
    share = settings.max_bad_share if max_bad_share is None else max_bad_share
    if save is not None and not re.fullmatch(NAME, save):
        raise click.UsageError(f"--save is {save!r}; small letters, digits, - and _ are allowed.")
    if len(note) > 2000 or len(author) > 200:
        raise click.UsageError("--note has at most 2,000 characters, --author 200.")
    state = load_state(workspace)
    requests, warnings = _requests(sources, judgments, share, workspace, state)
    start = state.named(base)
    other = state.named(compare) if compare else None
    with explained(warnings):
        tuning, blend = tune(
            requests,
            state,
            TuneOptions(start, kinds or _KINDS, without, other, split, allow_leak),
            measures(metrics or DEFAULT_METRICS),
            settings,
            bars,
        )
    tuning = msgspec.structs.replace(tuning, warnings=warnings + tuning.warnings)
    saved = None
    if save is not None:
        saved = save_tuned(state, blend, tuning, requests, save, author, note)
    echo_result(msgspec.to_builtins(tuning) | {"saved": saved}, report(tuning, saved), as_json)


def _requests(
    sources: tuple[Path, ...],
    judgments: Path | None,
    share: float,
    workspace: Workspace,
    state: ServedState,
) -> tuple[list[JudgedRequest], list[str]]:
    """The requests of all files, and what is odd about them."""
    judged, _ = checked_judgments(judgments, share)
    requests: list[JudgedRequest] = []
    warnings: list[str] = []
    for source in sources:
        warnings += checked_requests(source, share, workspace, state, judged).warnings
        requests.extend(usable_requests(source, workspace))
    return list(judged.rated(requests)) if judged else requests, warnings


def _check_installed() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("lightgbm", "scipy") if find_spec(name) is None]
    if missing:
        raise Failure(
            f"Tuning needs {' and '.join(missing)}, which this installation lacks.",
            hint="Run `pip install 'shop-reranker[tune]'`.",
        )
