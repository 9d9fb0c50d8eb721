"""`reranker items apply FILE`: what POST /items does, of a file."""

import json
from pathlib import Path

from click.testing import CliRunner, Result
from support.shop import copy_home

from indexes.build.commands import items_commands
from indexes.items.changes import ItemChanges
from indexes.progress import silent
from indexes.workspace import Workspace
from reranker.backups.backup import back_up
from reranker.backups.restore import restore


def apply(home: Path, file: Path, *options: str) -> Result:
    arguments = ["apply", str(file), *options]
    return CliRunner().invoke(items_commands, arguments, obj=Workspace(home), standalone_mode=False)


def test_a_file_changes_items_and_a_bad_line_costs_itself(shop_home: Path, tmp_path: Path) -> None:
    home = copy_home(shop_home, tmp_path / "home")
    file = tmp_path / "changes.csv"
    file.write_text("sku,saleprice,stock\n3,12.50,0\n7,cheap,1\nnobody,3,1\n25,7.25,4\n")
    done = apply(home, file, "--json")
    answer = json.loads(done.stdout.splitlines()[-1])
    assert done.return_value == 1  # a script must not take it for all
    assert (answer["accepted"], answer["rejected_count"]) == (2, 2)
    assert [bad["line"] for bad in answer["rejected"]] == [3, 4]
    assert ItemChanges(home, 10).since(0).fields == {
        "3": {"price": 12.5, "available": False},
        "25": {"price": 7.25, "available": True},
    }
    again = apply(home, file, "--json")
    assert json.loads(again.stdout.splitlines()[-1])["duplicates"] == 2


def test_changes_that_wait_are_in_a_backup(shop_home: Path, tmp_path: Path) -> None:
    home = copy_home(shop_home, tmp_path / "home")
    file = tmp_path / "changes.jsonl"
    file.write_text('{"id": "3", "price": 5}\n{"id": "x", "title": "New"}\n')
    assert apply(home, file).return_value == 0
    waiting = ItemChanges(home, 10).since(0)
    back_up(home, tmp_path / "backup", progress=silent)
    restore(tmp_path / "backup", tmp_path / "restored", progress=silent)
    assert ItemChanges(tmp_path / "restored", 10).since(0) == waiting
