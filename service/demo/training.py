"""training.py: the demo's events -> a model trained beside the service, and what it changed.

A process of its own, at low priority: the service takes up what it publishes, as in a shop.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
import msgspec
from tqdm import tqdm

from indexes.storage.versions import exclusive
from indexes.workspace import Workspace
from reranker.applications.applications import BESIDE
from reranker.commands.train_options import with_options
from reranker.evaluation.requests import read_requests
from reranker.model_selection.train import train
from reranker.ranking.state import load_state
from service.demo.measure import Measured, measure, quality_of
from service.page.parts.request_sets import REQUESTS

MINUTES: Final = 3.0
SMALL_MINUTES: Final = 1.0
LOG: Final = "demo-train.log"
_PROGRAM: Final = "from service.demo.training import main; main()"


class Before(msgspec.Struct, frozen=True):
    """What was measured before the training, of all searches and of the one that is shown."""

    home: str
    minutes: float
    all_searches: float
    request: str
    query: str
    shown: float


@contextmanager
def training_beside(workspace: Workspace, before: Before) -> Iterator[None]:
    """Train while the body runs; it is said on this terminal how that ends. The log has the rest.

    What an earlier run began, and did not end, goes on where it was.
    """
    with (workspace.home / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, msgspec.json.encode(before).decode()],
            stdin=subprocess.DEVNULL,
            stderr=log,
            preexec_fn=lambda: os.nice(15),
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """The process beside the service."""
    from service.settings import load_workspace  # the settings of all parts

    before = msgspec.json.decode(sys.argv[1], type=Before)
    workspace = load_workspace(Path(before.home), None, os.environ)
    try:
        _train(workspace, before.minutes)
        state = load_state(workspace)
        data = workspace.home / "data"
        requests = read_requests(data / REQUESTS, lambda _bad: None)
        [shown] = [request for request in requests if request.id == before.request]
        click.echo(changes(before, measure(state, data), quality_of(shown, state)))
    except KeyboardInterrupt:  # Ctrl-C reaches both; what was learned so far is in the checkpoint
        sys.exit(130)
    except Exception as error:
        click.echo(f"The training failed: {error} The log is {workspace.home / LOG}.")
        raise


def _train(workspace: Workspace, minutes: float) -> None:
    """Train with a bar of the minutes on the terminal, and a line an epoch in the log."""
    began = time.monotonic()
    settings = with_options(workspace, minutes=minutes)
    shape = "{desc} {percentage:3.0f}%|{bar:24}| {postfix}"
    with tqdm(
        desc="training",
        total=100,
        bar_format=shape,
        file=sys.stdout,
        disable=not sys.stdout.isatty(),
        leave=False,
    ) as bar:

        def on_line(line: str) -> None:
            click.echo(line, err=True)
            bar.n = min(99.0, (time.monotonic() - began) / (minutes * 60) * 100)
            bar.set_postfix_str(" ".join(line.split()[:6]))

        with exclusive(workspace.home / "model" / "lock", "train"):
            train(workspace, settings, on_line, beside=BESIDE)


def changes(before: Before, after: Measured, shown: float) -> str:
    """What the trained model changed, once it is served; where it is worse, that."""
    count = after.evaluation.queries
    lines = [
        "trained  The service uses the new model from now on.",
        f"         NDCG@10 of the {count:,} searches {before.all_searches:.3f} -> "
        f'{after.quality:.3f}; of "{before.query}" above {before.shown:.3f} -> {shown:.3f}.',
    ]
    if not after.good_enough:
        lines.append(
            "         It is no better than counts alone yet: the next run goes on with it."
        )
    return "\n".join(("", *lines, ""))
