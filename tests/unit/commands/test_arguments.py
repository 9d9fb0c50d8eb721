"""Options of the program may stand before or after the command."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from service.commands.cli import Commands, cli, in_order, run
from service.commands.keys import Rate


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("rebuild --home h --items f", "--home h rebuild --items f"),
        ("index list --settings=s.toml", "--settings=s.toml index list"),
        ("--json --home h index verify", "--home h index verify --json"),
        ("evaluate --json --requests r", "evaluate --json --requests r"),
        ("export -- --home", "export -- --home"),
        ("serve --home", "serve --home"),
        ("", ""),
    ],
)
def test_arguments_in_any_order(typed: str, meant: str) -> None:
    assert in_order(typed.split()) == meant.split()


def float_options(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Parameter]]:
    """Every option of every command below that takes a number with a fraction."""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            below = command.get_command(click.Context(command), name)
            assert below is not None
            yield from float_options(below, f"{path} {name}")
    for param in command.params:
        if isinstance(param.type, click.types.FloatParamType | click.FloatRange | Rate):
            yield f"{path} {param.opts[0]}", param


@pytest.mark.parametrize("typed", ["nan", "NaN", "inf", "-inf", "infinity", "1e999"])
def test_no_option_takes_a_number_that_is_not_finite(typed: str) -> None:
    options = dict(float_options(cli))
    assert len(options) >= 12  # --minutes of train and of next-item, --share, --rate, ...
    for name, option in options.items():
        with pytest.raises(click.BadParameter):
            option.type.convert(typed, option, None)
            pytest.fail(f"{name} takes {typed}")


@pytest.mark.parametrize("name", Commands.entries)
def test_every_command_that_the_menu_lists_is_there(name: str) -> None:
    command = Commands.entries[name].load()
    with click.Context(command, info_name=name) as context:
        assert command.get_help(context).startswith("Usage:")
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            assert command.get_command(context, below) is not None


@pytest.mark.parametrize(
    "typed",
    [
        "rebuild --items {file}",
        "events import {file}",
        "evaluate --requests {file}",
        "evaluate --requests {there} --judgments {file}",
        "evaluate next-item --events {file}",
        "evaluate next-action --events {file}",
        "tune --requests {there} --requests {file}",
        "tune --requests {there} --judgments {file}",
        "requests estimate --blend default --rankings {file}",
        "requests from-events --events {file} --out {there}",
        "requests judgments --positions {file} --out {there}",
    ],
)
def test_a_missing_file_is_said_before_anything_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    """Here neither an index is published nor the encoder there: both would be said otherwise."""
    (tmp_path / "there.jsonl").write_text("{}\n")
    (tmp_path / "settings.toml").write_text('[encoder]\nmodel = "/nowhere/at/all"\n')
    file = tmp_path / "gone.jsonl"
    typed = typed.format(file=file, there=tmp_path / "there.jsonl")
    assert run(["--home", str(tmp_path), *typed.split(), "--json"]) == 1
    said = capsys.readouterr()
    assert f"error: {file} does not exist." in said.err
    assert "does not exist" in msgspec.json.decode(said.out)["error"]["message"]
