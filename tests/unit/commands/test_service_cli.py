"""The program `reranker`: help at once, clear errors, exit statuses, one JSON line when asked."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from indexes.release import VERSION
from service.commands import cli
from service.commands.cli import Commands, run


def test_help_lists_every_command_in_order_without_importing_them() -> None:
    code = (
        "import sys\nfrom service.commands.cli import run\nstatus = run(['--help'])\n"
        "heavy = {'torch', 'numpy', 'flask', 'faiss', 'onnxruntime'} & set(sys.modules)\n"
        "sys.exit(status or bool(heavy) and f'imported {heavy}')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    places = [done.stdout.index(f"\n  {name} ") for name in Commands.entries]
    assert places == sorted(places)


@pytest.mark.parametrize("name", Commands.entries)
def test_the_line_in_the_menu_is_the_commands_own(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Commands.entries[name].load()
    assert isinstance(command, click.Command)
    assert command.help, name
    assert run([name, "--help"]) == 0
    assert "Usage: reranker" in capsys.readouterr().out


def test_failures_are_one_line_and_json_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = ["--home", str(tmp_path), "index", "verify"]
    assert run(missing) == 1
    plain = capsys.readouterr()
    assert plain.err.splitlines()[-1].startswith("error: ") and "Traceback" not in plain.err
    assert run([*missing, "--json"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert set(json.loads(last)["error"]) == {"code", "message", "field"}


def test_wrong_usage_exits_2_and_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rebiuld"]) == 2
    assert "the nearest is 'rebuild'" in capsys.readouterr().err
    assert run(["serve", "--prot", "1"]) == 2
    assert run(["rebuild"]) == 2


def test_a_broken_setting_stops_every_command_but_the_doctor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.joinpath("settings.toml").write_text("[serve]\nprot = 1\n")
    assert run(["--home", str(tmp_path), "index", "list"]) == 1
    assert "serve.port" in capsys.readouterr().err
    assert run(["--home", str(tmp_path), "doctor"]) == 1
    assert "fail settings" in capsys.readouterr().out


def test_ctrl_c_exits_130(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @click.command()
    def endless() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(Commands.entries, "endless", cli.Entry(f"{__name__}:endless", "Keep", ""))
    monkeypatch.setattr(sys.modules[__name__], "endless", endless, raising=False)
    assert run(["--home", str(tmp_path), "endless"]) == 130


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "reranker"
    line = f"{program} --home {tmp_path} settings --markdown | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=600)
    assert done.stderr == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"reranker {VERSION}\n"
