"""output.py: a result, or lines that cannot be used -> the terminal."""

from collections.abc import Callable
from typing import Any

import click
import msgspec

from indexes.readers.bad_lines import BadLines


def json_option(help: str = "One JSON object as the last line.") -> Callable[[Any], Any]:
    """The option --json, which a command takes as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def echo_json(result: Any) -> None:
    """The result as one JSON object on a line of its own, for programs."""
    click.echo(msgspec.json.encode(result).decode())


def echo_result(result: Any, text: str, as_json: bool) -> None:
    """The result for programs, or the text that says it to people."""
    if as_json:
        echo_json(result)
    else:
        click.echo(text)


def show_bad(bad: BadLines) -> None:
    """The first lines that cannot be used; the commonest reasons where there are more."""
    for line, reason in bad.first:
        click.echo(f"{bad.path} line {line}: {reason}", err=True)
    if bad.count > len(bad.first):
        click.echo(f"... {bad.count - len(bad.first):,} more bad lines: {bad.reasons()}", err=True)
