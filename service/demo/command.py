"""command.py: `reranker demo`: nothing -> a shop, an index, a measured blend, a running service."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexes.build.rebuild import rebuild
from indexes.errors import Failure
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.histories.store import open_histories
from reranker.ingestion.importer import Importer
from reranker.ranking.state import ServedState, load_state
from service.http.settings import ServeSettings
from service.server.serve import serve
from service.settings import with_options

if TYPE_CHECKING:
    from service.demo.measure import Measured


@click.command("demo")
@click.option("--host", help="Address to listen on (serve.host).")
@click.option("--port", type=int, help="Port; 0 takes a free one (serve.port).")
@click.option("--small", is_flag=True, help="A ninth of the items, for a slow machine.")
@click.option("--no-serve", is_flag=True, help="End after the measurement.")
@click.pass_obj
def demo_command(
    workspace: Workspace, host: str | None, port: int | None, small: bool, no_serve: bool
) -> None:
    """Watch it work on a demo shop in <home>/demo, then serve it.

    Makes a shop of 5,000 items and its shoppers, builds the index, re-ranks what a BM25 engine
    found for 640 searches, and shows one of them before and after. While it serves, a model of what
    shoppers do is trained beside it for three minutes, and then used.
    """
    _check_installed()
    began = time.monotonic()
    home = workspace.home / ("demo-small" if small else "demo")
    demo = with_options(replace(workspace, home=home), ServeSettings, host=host, port=port)
    measured = _prepare(demo, home / "data", small)
    # Only here, like the rest of the demo: its words cost the other commands nothing.
    from service.demo.showcase import banner, training_note, write_curl
    from service.demo.training import training_beside

    body = write_curl(home / "data", measured.shown)
    click.echo(f"\n{time.monotonic() - began:.1f} s in all; everything is in {home}.\n")
    if not no_serve:
        with training_beside(demo) as log:
            note = "" if log is None else "\n" + training_note(log)
            serve(demo, lambda url, state: banner(url, state, measured.shown, body) + note)


def _prepare(workspace: Workspace, data: Path, small: bool) -> "Measured":
    """Every step up to serving, each with the seconds it took."""
    from service.demo.measure import measure
    from service.demo.season.data import FULL, SMALL, write_shop
    from service.demo.showcase import before_and_after, summary_table
    from service.page.parts.request_sets import EVENTS, ITEMS, REQUESTS

    with _step("shop") as say:
        shop = write_shop(data, SMALL if small else FULL)
        counts = [f"{shop.lines[name]:,}" for name in (ITEMS, EVENTS, REQUESTS)]
        say("{} items, {} events, {} judged searches".format(*counts))
    with _step("index") as say:
        built = rebuild(workspace, data / ITEMS)
        say(f"{built.encoded:,} items encoded, {built.reused:,} as before; {built.version}")
    with _step("events") as say:
        with closing(open_histories(workspace)) as histories:
            imported = Importer(workspace, data / EVENTS, silent).run(histories)
        say(f"{imported.read:,} events of {imported.users:,} shoppers imported")
    with _step("measure") as say:
        state: ServedState = load_state(workspace)
        measured = measure(state, data)
        say("the engine's order, the blend's and the best possible one")
    click.echo(f"\n{summary_table(measured)}\n\n{before_and_after(measured, state, data)}")
    return measured


@contextmanager
def _step(name: str) -> Iterator[Callable[[str], None]]:
    """One line when the step is done: its name, what came of it, its seconds."""
    result: list[str] = []
    began = time.monotonic()
    yield result.append
    click.echo(f"{name:<9}{result[0]:<76}{time.monotonic() - began:>7.1f} s")


def _check_installed() -> None:
    missing = [name for name in ("tantivy", "sentence_transformers") if find_spec(name) is None]
    if missing:
        raise Failure(
            f"The demo needs {' and '.join(missing)}, which this installation lacks.",
            hint="Run `pip install 'shop-reranker[demo]'`.",
        )
