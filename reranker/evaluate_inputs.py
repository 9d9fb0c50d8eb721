"""evaluate_inputs.py: requests and judgments files -> what can be used of them, bad lines shown."""

from pathlib import Path

import click

from indexes.bad_lines import BadLines
from indexes.errors import Failure
from reranker.judged_requests import read_requests
from reranker.judgments import Judgments, read_judgments


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
    """The judgments of a file, if there is one."""
    if path is None:
        return None, None
    bad = BadLines(path)
    judgments = read_judgments(path, bad.add)
    _show(bad)
    bad.check(judgments.rows, max_bad_share)
    if not judgments.rows:
        raise Failure(
            f"{path} holds no judgment.",
            hint="Expected: a .csv with query,docid,rating, a .json with judgmentRatings, "
            "or TREC qrels.",
        )
    return judgments, bad


def _show(bad: BadLines) -> None:
    for line, reason in bad.first:
        click.echo(f"{bad.path} line {line}: {reason}", err=True)
    if bad.count > len(bad.first):
        click.echo(f"... {bad.count - len(bad.first):,} more bad lines", err=True)
