"""settings.py: every setting, its value, its source and what it does -> a list to read."""

import textwrap
from typing import Any

import click
import msgspec

from indexes.workspace import Workspace
from reranker.commands.output import echo_json, json_option
from service.setting_types import Setting, allowed
from service.settings import SECTIONS, SHORT_NAMES, known_settings


@click.command("settings")
@json_option()
@click.option("--markdown", is_flag=True, help="The page docs/settings.md.")
@click.pass_obj
def settings_command(workspace: Workspace, as_json: bool, markdown: bool) -> None:
    """Show every setting, its value and where it comes from.

    Values come from settings.toml in the home (or --settings FILE), then from environment
    variables RERANKER_SECTION_NAME, then from a command's own options.
    """
    if markdown:
        click.echo(settings_page(), nl=False)
    elif as_json:
        echo_json(settings_rows(workspace))
    else:
        click.echo(settings_list(workspace))


def settings_rows(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """By name: value, source, default and help."""
    return {
        name: {
            "value": _value(workspace, setting),
            "source": workspace.sources.get(name, "default"),
            "default": setting.default,
            "help": setting.help,
        }
        for name, setting in known_settings().items()
    }


def settings_list(workspace: Workspace) -> str:
    """For people, as a settings.toml that could be used."""
    lines = [f"# home: {workspace.home}"]
    section = ""
    for name, setting in known_settings().items():
        if setting.section != section:
            section = setting.section
            lines += ["", f"[{section}]"]
        source = workspace.sources.get(name)
        value = _toml(_value(workspace, setting))
        line = f"{setting.field} = {value}" if value else f"# {setting.field} is not set"
        lines += [*_comment(setting.help), f"{line}  # {source}" if source else line]
    return "\n".join(lines)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 96, initial_indent="# ", subsequent_indent="# ")


def settings_page() -> str:
    """docs/settings.md."""
    lines = [_HEAD]
    for section, kind in SECTIONS.items():
        lines += [f"## [{section}]", "", (kind.__doc__ or "").splitlines()[0], ""]
        lines += ["| setting | default | allowed | what it does |", "|---|---|---|---|"]
        known = known_settings().values()
        lines += [_row(setting) for setting in known if setting.section == section]
        lines.append("")
    return "\n".join(lines)


_HEAD = f"""# Settings

This page is written by `reranker settings --markdown`; a test keeps it true. `reranker settings`
shows the values in force and where each comes from.

Later ones win: the defaults below, then `settings.toml` in the home folder (or the file named by
`--settings` or `RERANKER_SETTINGS`), then environment variables such as `RERANKER_SERVE_PORT` for
`serve.port`, then a command's own options.
{" and ".join(f"`{name}`" for name in SHORT_NAMES)} are short for
{" and ".join(f"`{name}`" for name in SHORT_NAMES.values())}. A name that does not exist is an
error, in the file and in the environment.

```toml
[serve]
port = 9000
```
"""


def _row(setting: Setting) -> str:
    default = _toml(setting.default).replace("|", "\\|")
    cells = (
        f"`{setting.name}`",
        f"`{default}`" if default else "not set",
        allowed(setting.type),
        setting.help.replace("|", "\\|"),
    )
    return "| " + " | ".join(cells) + " |"


def _value(workspace: Workspace, setting: Setting) -> Any:
    return getattr(workspace.section(SECTIONS[setting.section]), setting.field)


def _toml(value: Any) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()
