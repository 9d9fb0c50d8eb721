"""`reranker encoder`: the adapted encoders of a home, and the way back to each."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from indexes.encoders.adapted import encoder_settings, encoder_store
from indexes.encoders.settings import EncoderSettings
from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.commands.learning.encoder import encoder_commands

BASE = EncoderSettings().model


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    """Two encoders were published, and one that was not proposed to any rebuild."""
    store = encoder_store(tmp_path)
    for gain, switch in ((0.01, True), (0.02, True), (0.03, False)):
        with store.stage() as staged:
            (staged / "model.safetensors").write_bytes(b"weights")
            report = {"gains": {"all": {"difference": {"mean": gain}}}}
            store.publish(staged, {"base": BASE, "report": report}, switch=switch)
    return Workspace(tmp_path)


def answer(home: Workspace, *args: str) -> Any:
    done = CliRunner().invoke(encoder_commands, [*args, "--json"], obj=home, standalone_mode=False)
    if done.exception:
        raise done.exception
    return json.loads(done.stdout.splitlines()[-1])


def test_back_step_by_step_to_the_model_of_the_settings(home: Workspace) -> None:
    first, second, third = (version.id for version in encoder_store(home.home).versions())
    rows = answer(home, "list")["versions"]
    assert [row["version"] for row in rows if row["current"]] == [second]
    assert [row["gain"] for row in rows] == [None, 0.01, 0.02, 0.03]
    assert answer(home, "rollback") == {"version": first}
    assert encoder_settings(home).model.endswith(first)
    assert answer(home, "rollback") == {"version": "original"}
    assert encoder_settings(home).model == BASE
    with pytest.raises(Failure, match="none was before it") as failure:
        answer(home, "rollback")
    assert "--to" in str(failure.value.hint)
    assert answer(home, "rollback", "--to", third) == {"version": third}
    assert answer(home, "rollback", "--to", "original") == {"version": "original"}


def test_a_damaged_encoder_is_not_gone_back_to(home: Workspace) -> None:
    first, second, _ = encoder_store(home.home).versions()
    weights = first.folder / "model.safetensors"
    weights.chmod(0o600)
    weights.write_bytes(b"weightz")
    with pytest.raises(Failure, match="is damaged"):
        answer(home, "rollback")
    assert encoder_settings(home).model.endswith(second.id)
    verified = answer(home, "verify")
    assert not verified["sound"] and verified["versions"][first.id]


def test_a_home_without_adapted_encoders_has_the_one_of_the_settings(tmp_path: Path) -> None:
    home = Workspace(tmp_path)
    assert [row["version"] for row in answer(home, "list")["versions"]] == ["original"]
    with pytest.raises(Failure, match="none was before it"):
        answer(home, "rollback")
