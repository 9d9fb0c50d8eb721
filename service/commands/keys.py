"""keys.py: `reranker keys ...` on the command line."""

import math
import re
from datetime import UTC, datetime
from typing import Any, Final, cast

import click

from indexes.workspace import Workspace
from reranker.commands.output import echo_json, json_option
from service.access.keys import (
    OVERLAP_SECONDS,
    SCOPES,
    ApiKey,
    BadKey,
    KeyFile,
    Scope,
    check_rate,
    live,
)

_JSON = json_option()
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Rate(click.ParamType[float]):
    """Requests per second: 0 or a number that a limit can have; no nan, no inf."""

    name = "requests per second"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            rate = float(value)
            if not rate and re.search("[1-9]", str(value).lower().partition("e")[0]):
                rate = math.ulp(0.0)  # meant to be slow, not to be without a limit
            check_rate(rate)
        except ValueError:
            self.fail(f"{str(value)[:40]!r} is no number.", param, ctx)
        except BadKey as refused:
            self.fail(str(refused), param, ctx)
        return rate


class Duration(click.ParamType[float]):
    """A time such as 90s, 15m, 24h or 7d, in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,6})([smhd])", str(value))
        if not match:
            self.fail(f"{value!r} is no time; write 90s, 15m, 24h, 7d or 0s.", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


@click.group("keys")
def keys_commands() -> None:
    """Make and take back the keys that programs and people come in with.

    \b
    rerank    POST /rerank, other systems' formats, /next-action: the search backend
    events    POST /events, /feedback: whatever reports what shoppers do
    tune      the page at /, with all that can be done there
    admin     everything, /metrics too
    envelope  with rerank: a query of another format says who is searching (docs/clients.md)

    A key is shown once; only its SHA-256 is kept. A running service takes up every change within a
    second. As long as a home has no key, the service answers on a loopback address only, openly.
    """


@keys_commands.command("create", short_help="Make a key and print it, once.")
@click.option("--name", required=True, help="Whose key it is: a-z, 0-9, '.', '_', '-'.")
@click.option(
    "--scope",
    "scopes",
    required=True,
    multiple=True,
    type=click.Choice(SCOPES),
    help="What it opens; may be given several times.",
)
@click.option(
    "--rate",
    type=Rate(),
    help="Requests/s it may make, from 0.001 to 1,000,000; 0: no limit. Default: limits.rate.",
)
@_JSON
@click.pass_obj
def create_command(
    workspace: Workspace, name: str, scopes: tuple[str, ...], rate: float | None, as_json: bool
) -> None:
    """Make a key and print it: the only line on stdout, and the only time it is shown."""
    file = KeyFile(workspace.home)
    first = not file.read()
    key, created = file.create(name, cast(tuple[Scope, ...], scopes), rate)
    if as_json:
        echo_json({"key": key, **_row(created)})
        return
    click.echo(key)
    click.echo(f"This is the key of {name}, for {', '.join(created.scopes)}. {_ONCE}", err=True)
    if first:
        click.echo(
            "It is this home's first: from now on every route but /livez and /readyz needs a key.",
            err=True,
        )


_ONCE: Final = (
    "Keep it now: it is not shown again, and only\nits SHA-256 is stored. Send it as "
    "`Authorization: Bearer KEY`."
)


@keys_commands.command("list")
@_JSON
@click.pass_obj
def list_command(workspace: Workspace, as_json: bool) -> None:
    """Every key, revoked ones too; never the key itself."""
    file = KeyFile(workspace.home)
    keys = file.read()
    if as_json:
        echo_json({"keys": [_row(key) for key in keys]})
        return
    if not keys and file.required:
        click.echo(
            "No key is here, and there were some: nothing gets in. `reranker keys create` makes "
            "one, `reranker keys open` lets the home be served without."
        )
        return
    if not keys:
        click.echo(
            "No key is made here: the service answers on a loopback address only, openly. "
            "`reranker keys create` makes one."
        )
        return
    rows = [
        (key.name, " ".join(key.scopes), _rate(key), _day(key.created), _state(key)) for key in keys
    ]
    rows.insert(0, ("name", "scopes", "rate", "made", "state"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@keys_commands.command("rotate", short_help="A new key for a name; the old one ends later.")
@click.argument("name")
@click.option(
    "--overlap",
    type=Duration(),
    default=f"{OVERLAP_SECONDS / 3600:.0f}h",
    show_default=True,
    help="How long the old key stays valid: 90s, 15m, 24h, 7d; 0s ends it at once.",
)
@_JSON
@click.pass_obj
def rotate_command(workspace: Workspace, name: str, overlap: float, as_json: bool) -> None:
    """Print a new key for NAME; the old one stays valid for the overlap, and then ends."""
    key, rotated = KeyFile(workspace.home).rotate(name, overlap)
    if as_json:
        echo_json({"key": key, **_row(rotated)})
        return
    click.echo(key)
    until = _old_until(rotated)
    old = f"The old one is valid until {until}." if until else "The old one has ended."
    click.echo(f"This is the new key of {name}. {old} {_ONCE}", err=True)


@keys_commands.command("revoke", short_help="Let nobody in with a key any more.")
@click.argument("name")
@_JSON
@click.pass_obj
def revoke_command(workspace: Workspace, name: str, as_json: bool) -> None:
    """Let nobody in with the key NAME any more, from now on; sessions that it opened end, too."""
    file = KeyFile(workspace.home)
    revoked = file.revoke(name)
    if as_json:
        echo_json(_row(revoked))
        return
    click.echo(f"The key {name} is revoked; a running service refuses it within a second.")
    if not any(key.active for key in file.read()):
        click.echo(
            "It was the last one: nothing gets in until another is made. To be open on loopback "
            "again,\nrun `reranker keys open` and restart the service.",
            err=True,
        )


@keys_commands.command("open", short_help="Let the home be served without keys again.")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
@_JSON
@click.pass_obj
def open_command(workspace: Workspace, yes: bool, as_json: bool) -> None:
    """Forget that this home had keys: from its next start it is served openly, on loopback alone.

    Refused while a key is active. A service that runs stays locked until it is restarted.
    """
    file = KeyFile(workspace.home)
    if not yes:
        click.confirm(
            f"Let everybody on this machine use {workspace.home} without a key?", abort=True
        )
    file.open()
    if as_json:
        echo_json({"required": file.required})
        return
    click.echo("No key is asked for from the next start on; a running service stays locked.")


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": key.scopes,
        "rate": key.rate,
        "created": key.created,
        "state": "revoked" if key.revoked else "active" if key.active else "ended",
        "revoked": key.revoked,
        "old_until": _old_until(key),
    }


def _state(key: ApiKey) -> str:
    if key.revoked:
        return f"revoked {_day(key.revoked)}"
    until = _old_until(key)
    return f"active; the old one until {until}" if until else "active"


def _rate(key: ApiKey) -> str:
    return "default" if key.rate is None else f"{key.rate:g}/s" if key.rate else "no limit"


def _old_until(key: ApiKey) -> str | None:
    ends = [secret.until for secret in key.secrets if secret.until is not None and live(secret)]
    return datetime.fromtimestamp(max(ends), UTC).isoformat(timespec="seconds") if ends else None


def _day(time: str) -> str:
    return time[:10]
