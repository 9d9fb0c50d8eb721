"""menu.py: names of commands -> the commands, each imported only when it is run."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import click

from indexes.quoting import nearest_or_all, shown


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
