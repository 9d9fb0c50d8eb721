"""feedback_options.py: options of `reranker requests` -> rankings joined with events, counted."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from indexes.errors import Failure
from indexes.progress import bars
from indexes.readers.bad_lines import BadLines
from indexes.times import TimeReader, TimeSettings
from indexes.workspace import Workspace
from reranker.commands.finite_range import FiniteRange
from reranker.commands.input_files import InputFile
from reranker.commands.output import show_bad
from reranker.evaluation.settings import EvaluationSettings
from reranker.feedback.files import rankings_folder
from reranker.feedback.followed import LoggedEvents, histories_of
from reranker.feedback.joins import GRADES, JoinCounts, JoinedRanking, JoinRules, RankingJoin
from reranker.feedback.records import LoggedRanking, ranking_files, read_rankings
from reranker.metrics.ranking import MAX_GRADE
from reranker.pseudonyms.keys import PseudonymKeys

FILE = click.Path(path_type=Path)
_DAY = 86_400.0

C = TypeVar("C", bound=Callable[..., object])


def read_grades(_ctx: click.Context, _param: click.Parameter, text: str) -> dict[str, float]:
    """`view=1,cart=2,purchase=3` -> types with grades; a usage error names what is neither."""
    grades = {}
    for part in text.split(","):
        kind, _, number = part.partition("=")
        try:
            grade = float(number)
        except ValueError:
            grade = 0.0
        if not kind.strip() or not 0 < grade <= MAX_GRADE:
            raise click.BadParameter(
                f"{part!r}: a type and a grade above 0, up to {MAX_GRADE:g}, are expected, "
                "such as cart=2."
            )
        grades[kind.strip()] = grade
    return grades


@dataclass(frozen=True)
class Source:
    """Where rankings and events come from, and how they are joined."""

    rankings: Path | None
    events: Path | None
    rules: JoinRules
    max_bad_share: float | None


@dataclass
class Joined:
    """Rankings with what followed them, to be read once; counts are whole when all are read."""

    rankings: Iterator[JoinedRanking]
    events: LoggedEvents
    counts: JoinCounts
    bad: BadLines
    warnings: list[str]


def source_options(command: C) -> C:
    """The options by which every command names its rankings and events."""
    for option in (
        click.option(
            "--max-bad-share",
            type=FiniteRange(0, 1),
            help="Share of bad lines of the rankings that is let pass; default "
            "evaluation.max_bad_share (0.01).",
        ),
        click.option(
            "--grades",
            callback=read_grades,
            default=",".join(f"{kind}={grade:g}" for kind, grade in GRADES.items()),
            show_default=True,
            help="What follows a ranking, and its grade. A cancelled purchase never counts.",
        ),
        click.option(
            "--window",
            type=FiniteRange(min=0, min_open=True),
            default=30.0,
            show_default=True,
            help="Minutes after a ranking in which an event without a ranking's id may follow it.",
        ),
        click.option(
            "--events",
            type=InputFile(),
            help="Events: .jsonl .csv .parquet; default: the home's own.",
        ),
        click.option(
            "--rankings",
            type=InputFile(),
            help="Rankings: .jsonl, .jsonl.gz or a folder of them; default: the service's log.",
        ),
    ):
        command = option(command)
    return command


def source_of(options: dict[str, Any]) -> Source:
    """The options above, taken out of a command's own."""
    rules = JoinRules(options.pop("grades"), options.pop("window") * 60)
    return Source(
        options.pop("rankings"), options.pop("events"), rules, options.pop("max_bad_share")
    )


@contextmanager
def joined(workspace: Workspace, source: Source) -> Iterator[Joined]:
    """Everything joined, lazily; Failure when nothing is there or too many lines are bad."""
    folder = rankings_folder(workspace)
    path = source.rankings or folder
    if not path.exists():
        raise Failure(
            f"{path} does not exist: no rankings were logged yet.",
            hint="`reranker serve` logs them unless rankings.log is false; or name a file with "
            "--rankings.",
        )
    PseudonymKeys(workspace.home).read()  # the log gets today's form
    files = ranking_files(path)
    bad = BadLines(path)
    times = TimeReader(workspace.section(TimeSettings))
    total, since = _checked(workspace, files, bad, times, source.max_bad_share)
    warnings = [*_warnings(times)]
    for warning in warnings:
        click.echo(f"{path}: warning: {warning}", err=True)
    with histories_of(workspace, source.events) as histories:
        events = LoggedEvents(histories, source.rules.grades, since - _DAY)
        join = RankingJoin(events, source.rules)
        with bars("joining", total, "rankings") as advance:
            again = TimeReader(workspace.section(TimeSettings))
            passing = _noted(read_rankings(files, lambda _bad: None, again), advance)
            yield Joined(join(passing), events, join.counts, bad, warnings)


def _warnings(times: TimeReader) -> Iterator[str]:
    """What is to be said of the rankings' times."""
    if times.without_zone:
        yield f"{times.without_zone:,} rankings have a time without a zone; it is read as UTC"
    if mixed := times.mixed():
        yield mixed


def _checked(
    workspace: Workspace,
    files: list[Path],
    bad: BadLines,
    times: TimeReader,
    max_bad_share: float | None,
) -> tuple[int, float]:
    """How many rankings there are, and the first one's time; bad lines show before the work."""
    total, since = 0, math.inf
    for ranking in read_rankings(files, bad.add, times):
        total += 1
        since = min(since, ranking.at)
    show_bad(bad)
    settings = workspace.section(EvaluationSettings)
    bad.check(total, settings.max_bad_share if max_bad_share is None else max_bad_share)
    if not total:
        raise Failure(f"{bad.path} holds no ranking.", hint="One JSON object a line is expected.")
    return total, since


def _noted(
    rankings: Iterator[LoggedRanking], advance: Callable[[int], object]
) -> Iterator[LoggedRanking]:
    for ranking in rankings:
        advance(1)
        yield ranking
