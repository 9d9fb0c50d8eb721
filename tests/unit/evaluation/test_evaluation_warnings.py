"""test_evaluation_warnings.py: what is odd about requests and judgments is said, by example."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from click.testing import CliRunner, Result
from support.shop import small_shop

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.commands.evaluate import evaluate_command

IDS = [item["id"] for item in small_shop()][:5]


def row(item: str = IDS[4], **more: Any) -> dict[str, Any]:
    candidates = [{"id": one} for one in IDS]
    return {"query": "Rain  jacket", "candidates": candidates, "ratings": {item: 1}} | more


def run(home: Path, folder: Path, rows: Sequence[dict[str, Any]], *options: str) -> Result:
    source = folder / "requests.jsonl"
    source.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    arguments = ["--requests", str(source), *options]
    return CliRunner().invoke(evaluate_command, arguments, obj=Workspace(home))


def result_of(found: Result) -> dict[str, Any]:
    assert found.exit_code == 0, found.output
    decoded: dict[str, Any] = msgspec.json.decode(found.stdout.splitlines()[-1])
    return decoded


def test_one_bad_time_costs_its_own_line(shop_home: Path, tmp_path: Path) -> None:
    rows = [row(id=f"r{number}") for number in range(120)]
    rows[100]["time"] = "yesterday"
    found = run(shop_home, tmp_path, rows, "--json")
    assert "line 101: time is 'yesterday'" in found.stderr
    result = result_of(found)
    assert (result["queries"], result["bad_lines"]) == (119, {"requests": 1})


def test_ids_that_do_not_meet_are_warned_of(shop_home: Path, tmp_path: Path) -> None:
    rows = [row("1000.0")]
    [warning] = result_of(run(shop_home, tmp_path, rows, "--json"))["warnings"]
    assert "no rated item" in warning and "'1000.0'" in warning and f"'{IDS[0]}'" in warning
    assert f"warning: {warning}" in run(shop_home, tmp_path, rows).stdout


def test_judgments_of_other_queries_are_warned_of(shop_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "j.csv"
    path.write_text(f"query,docid,rating\nGeschenk,{IDS[0]},1\nGeschenk,,\n")
    found = run(shop_home, tmp_path, [row()], "--judgments", str(path))
    assert isinstance(found.exception, Failure)
    assert "no judgment belongs to any" in found.stderr  # a failed job shows the failure alone:
    assert "no judgment belongs to any" in str(found.exception)
    assert "'geschenk'" in found.stderr and "'rain jacket'" in found.stderr
    path.write_text(f"query;docid;rating\nrain jacket;{IDS[0]};0,5\nGeschenk;;\n")
    found = run(shop_home, tmp_path, [row()], "--judgments", str(path), "--json")
    assert result_of(found)["judgments"] == {"requests_matched": 1, "unrated_rows": 1}


def test_candidates_that_the_index_lacks_are_warned_of(shop_home: Path, tmp_path: Path) -> None:
    rows = [row(IDS[0], candidates=[{"id": one} for one in ("x1", IDS[0], "x2")])]
    [warning] = result_of(run(shop_home, tmp_path, rows, "--json"))["warnings"]
    assert "2 of 3 candidates are not in the index: for example 'x1'" in warning
