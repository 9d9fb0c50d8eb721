"""command.py: `reranker demo`: nothing -> a shop, an index, a measured blend, a running service."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexes.errors import Failure
from indexes.workspace import Workspace
from service.http.settings import ServeSettings
from service.settings import with_options

if TYPE_CHECKING:
    from reranker.ranking.state import ServedState
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

    Makes a shop of 5,000 items and its shoppers, builds the index, counts what shoppers do,
    re-ranks what a BM25 engine found for 640 searches, and shows one shopper's before and after.
    While it serves, a model is trained beside it for three minutes, and then used. A second run
    keeps what is there and goes on where the first one stopped.
    """
    _check_installed()
    began = time.monotonic()
    home = workspace.home / ("demo-small" if small else "demo")
    demo = with_options(replace(workspace, home=home), ServeSettings, host=host, port=port)
    measured, state = _prepare(demo, home / "data", small)
    # Only here, like the rest of the demo: its words cost the other commands nothing.
    from service.demo.measure import quality_of
    from service.demo.showcase import banner, write_curl
    from service.demo.training import MINUTES, SMALL_MINUTES, Before, training_beside
    from service.server.serve import serve

    body = write_curl(home / "data", measured.shown)
    click.echo(f"\n{time.monotonic() - began:.1f} s in all; everything is in {home}.\n")
    if no_serve:
        return
    minutes = SMALL_MINUTES if small else MINUTES
    trains = not measured.good_enough
    shown = measured.shown
    before = Before(
        home=str(home.resolve()),
        minutes=minutes,
        all_searches=measured.quality,
        request=shown.id,
        query=shown.query,
        shown=quality_of(shown, state),
    )
    with training_beside(demo, before) if trains else nullcontext():
        said_minutes = minutes if trains else None
        serve(demo, lambda url, served: banner(url, measured, served, body, said_minutes))


def _prepare(workspace: Workspace, data: Path, small: bool) -> "tuple[Measured, ServedState]":
    """Every step up to serving, each with the seconds it took."""
    with _step("shop", "inventing items, pictures and shoppers") as say:
        from service.demo.preparation import index_shop, keep_events, make_shop, served_state

        shop = make_shop(data, small)
        say(shop.said)
    with _step("index", "loading the text encoder") as say:
        say(index_shop(workspace, data, shop))
    with _step("events", "importing what shoppers did") as say:
        say(keep_events(workspace, data, shop))
    with _step("habits", "counting what shoppers do") as say:
        state, told = served_state(workspace)
        say(told)
    with _step("measure", "re-ranking the judged searches") as say:
        from service.demo.measure import measure
        from service.demo.preparation import passing_bars

        with passing_bars("measure", shop.requests, "searches") as advance:
            measured = measure(state, data, advance)
        say("the engine's order, the blend's and the best possible one")
    from service.demo.showcase import before_and_after, summary_table

    click.echo(f"\n{summary_table(measured)}\n\n{before_and_after(measured, state, data)}")
    return measured, state


@contextmanager
def _step(name: str, doing: str) -> Iterator[Callable[[str], None]]:
    """One line when the step is done: its name, what came of it, its seconds; till then, for who
    looks at a terminal, what it does. Bars are drawn over that."""
    result: list[str] = []
    began = time.monotonic()
    watched = sys.stderr.isatty()
    if watched:
        click.echo(f"{name:<9}{doing} ...", nl=False, err=True)
    try:
        yield result.append
    finally:
        if watched:
            click.echo("\r\033[K", nl=False, err=True)
    click.echo(f"{name:<9}{result[0]:<76}{time.monotonic() - began:>7.1f} s")


def _check_installed() -> None:
    missing = [name for name in ("tantivy", "sentence_transformers") if find_spec(name) is None]
    if missing:
        raise Failure(
            f"The demo needs {' and '.join(missing)}, which this installation lacks.",
            hint="Run `pip install 'shop-reranker[demo]'`.",
        )
