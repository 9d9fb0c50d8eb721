"""cli.py: `reranker ...` on the command line -> the command, its exit status and its errors.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from indexes.errors import Failure
from indexes.quoting import nearest_or_all, shown
from indexes.release import VERSION
from indexes.workspace import Workspace
from reranker.commands.output import echo_json
from service.commands.doctor_findings import SETTINGS_FAILURE

_WITH_VALUE: Final = ("--home", "--settings")
_FLAG: Final = "--json"

_INTERRUPTED: Final = 130


def in_order(args: Sequence[str]) -> list[str]:
    """The same arguments with --home and --settings before the command, --json after it."""
    first: list[str] = []
    rest: list[str] = []
    json_before = False
    waiting = list(args)
    while waiting:
        arg = waiting.pop(0)
        if arg == "--":
            rest += [arg, *waiting]
            break
        if arg in _WITH_VALUE and waiting:
            first += [arg, waiting.pop(0)]
        elif arg.startswith(tuple(f"{name}=" for name in _WITH_VALUE)):
            first.append(arg)
        elif arg == _FLAG and not rest:
            json_before = True
        else:
            rest.append(arg)
    return first + rest + [_FLAG] * json_before


@dataclass(frozen=True)
class Entry:
    """A command: where it is, under which heading `--help` shows it, and its one line there."""

    target: str  # "module:attribute"
    heading: str
    line: str

    def load(self) -> click.Command:
        """Import it."""
        module, attribute = self.target.split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class Menu(click.Group):
    """A group that knows its commands by name, so that `--help` imports none of them."""

    entries: Mapping[str, Entry] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a person meets them."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        return entry.load() if entry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is none of this name."""
        if args[0] not in self.entries:
            near = nearest_or_all(args[0], self.entries)
            ctx.fail(f"There is no command {shown(args[0])}{near}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading in dict.fromkeys(entry.heading for entry in self.entries.values()):
            with formatter.section(heading):
                formatter.write_dl(
                    [
                        (name, entry.line)
                        for name, entry in self.entries.items()
                        if entry.heading == heading
                    ]
                )


class Commands(Menu):
    """Every command of the program."""

    entries = {
        "demo": Entry(
            "service.demo.command:demo_command", "Begin", "Watch it work on a demo shop."
        ),
        "rebuild": Entry(
            "indexes.build.commands:rebuild_command", "Begin", "Build the index from a catalogue."
        ),
        "serve": Entry(
            "service.commands.serve:serve_command", "Begin", "Answer POST /rerank until stopped."
        ),
        "proxy": Entry(
            "service.commands.proxy:proxy_command",
            "Begin",
            "Stand in for Elasticsearch or OpenSearch.",
        ),
        "events": Entry(
            "reranker.commands.events:events_commands", "Begin", "Import what shoppers did."
        ),
        "train": Entry(
            "reranker.commands.learning.train:train_command",
            "Begin",
            "Learn from what shoppers did.",
        ),
        "adapt": Entry(
            "reranker.commands.learning.adapt:adapt_command",
            "Begin",
            "Fine-tune the text encoder on the shop's own data.",
        ),
        "recommend": Entry(
            "reranker.commands.applications.recommend:recommend_command",
            "Ask",
            "Recommend items to a user, or to everyone into a file.",
        ),
        "churn": Entry(
            "reranker.commands.applications.churn:churn_command",
            "Ask",
            "Who will buy nothing in the next days, and why.",
        ),
        "customers": Entry(
            "reranker.commands.applications.customers:customers_command",
            "Ask",
            "Who may leave of all, what is at risk, what recommendations reach.",
        ),
        "carts": Entry(
            "reranker.commands.applications.carts:carts_commands",
            "Ask",
            "List carts that were left, with value and chance.",
        ),
        "evaluate": Entry(
            "reranker.commands.applications.evaluate:evaluate_command",
            "Measure",
            "Compare a blend with the engine on judged requests.",
        ),
        "tune": Entry(
            "reranker.commands.tune:tune_command",
            "Measure",
            "Fit blends to judged requests, with proof.",
        ),
        "requests": Entry(
            "reranker.commands.feedback:requests_commands",
            "Measure",
            "Requests, judgments and estimates from the shop's own logs.",
        ),
        "blends": Entry(
            "reranker.commands.blends:blends_commands",
            "Keep",
            "List, compare, publish and roll back blends.",
        ),
        "index": Entry(
            "indexes.build.commands:index_commands", "Keep", "List, verify or roll back the index."
        ),
        "encoder": Entry(
            "reranker.commands.learning.encoder:encoder_commands",
            "Keep",
            "List, verify or roll back the adapted text encoders.",
        ),
        "items": Entry(
            "indexes.build.commands:items_commands", "Keep", "Change items between two rebuilds."
        ),
        "encode": Entry(
            "indexes.build.commands:encode_command", "Keep", "Encode a share of a catalogue."
        ),
        "export": Entry(
            "reranker.commands.events:export_command", "Keep", "Print what is kept of a user."
        ),
        "forget": Entry(
            "reranker.commands.events:forget_command", "Keep", "Delete a user with every trace."
        ),
        "pseudonyms": Entry(
            "reranker.commands.events:pseudonyms_commands",
            "Keep",
            "Show or rotate the keys under which users are kept.",
        ),
        "publish": Entry(
            "reranker.commands.fleet:publish_command", "Keep", "Publish a set for other machines."
        ),
        "backup": Entry(
            "reranker.commands.backups:backup_command",
            "Keep",
            "Copy the home, while it is served, and check the copy.",
        ),
        "restore": Entry(
            "reranker.commands.backups:restore_command", "Keep", "Make a home of a backup."
        ),
        "keys": Entry(
            "service.commands.keys:keys_commands",
            "Keep",
            "Make, list, rotate and revoke API keys.",
        ),
        "settings": Entry(
            "service.commands.settings:settings_command",
            "Keep",
            "Show every setting, its value and where it comes from.",
        ),
        "doctor": Entry(
            "service.commands.doctor:doctor_command", "Keep", "Check this machine and this home."
        ),
    }


@click.group(
    cls=Commands,
    help="Re-ranks a shop's search results with a text transformer, FAISS and the shopper's own "
    "behaviour. Everything of one shop lives in one home folder.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="RERANKER_HOME",
    default="./var",
    show_default=True,
    show_envvar=True,
    help="Folder of the shop: index, blends, settings.",
)
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RERANKER_SETTINGS",
    show_envvar=True,
    help="Settings file, instead of settings.toml in the home.",
)
@click.version_option(VERSION, message="reranker %(version)s")
@click.pass_context
def cli(ctx: click.Context, home: Path, settings_file: Path | None) -> None:
    """The program; its commands get the Workspace as their object."""
    if _asks_for_help(ctx):
        return
    from service.settings import load_workspace  # the settings of all parts: not for --help

    try:
        ctx.obj = load_workspace(home, settings_file, os.environ)
    except Failure as failure:
        if ctx.invoked_subcommand != "doctor":  # the doctor reports it among the rest
            raise
        ctx.obj = Workspace(home)
        ctx.meta[SETTINGS_FAILURE] = failure


def _asks_for_help(ctx: click.Context) -> bool:
    return any(arg in ("-h", "--help") for arg in ctx.args)


def main() -> None:
    """The program `reranker`."""
    sys.exit(run(sys.argv[1:]))


def run(args: Sequence[str]) -> int:
    """Run one command and return its exit status; expected failures end in one clear line."""
    args = in_order(args)
    try:
        status = cli.main(args, prog_name="reranker", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return _INTERRUPTED
    except Failure as failure:
        return _failed(failure.code, str(failure), failure.field, args)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed("os_error", f"{where}{error.strerror or error}.", None, args)
    return status if isinstance(status, int) else 0


def _failed(code: str, message: str, field: str | None, args: Sequence[str]) -> int:
    click.echo(f"error: {message}", err=True)
    if "--json" in args:
        error: dict[str, Any] = {"code": code, "message": message, "field": field}
        echo_json({"error": error})
    return 1
