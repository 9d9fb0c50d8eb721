"""Options of the program may stand before or after the command."""

import pytest

from service.commands.cli import in_order


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
