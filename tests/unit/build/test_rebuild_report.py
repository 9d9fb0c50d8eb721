"""What a rebuild says of the catalogue: columns, bad values, templates, equal texts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.shop import write_items
from support.tiny_models import tiny_bert

from indexes.build.commands import rebuild_command
from indexes.build.rebuild import Summary, rebuild
from indexes.build.settings import RebuildSettings
from indexes.encoders.settings import EncoderSettings
from indexes.errors import Failure
from indexes.items.index import ItemIndex
from indexes.progress import silent
from indexes.storage.versions import VersionStore
from indexes.workspace import Workspace
from service.commands.doctor import examine


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> EncoderSettings:
    return EncoderSettings(model=str(tiny_bert(tmp_path_factory.mktemp("tiny"))))


@pytest.fixture
def workspace(tmp_path: Path, tiny: EncoderSettings) -> Callable[..., Workspace]:
    def workspace(**settings: Any) -> Workspace:
        sections = {EncoderSettings: tiny, RebuildSettings: RebuildSettings(**settings)}
        return Workspace(tmp_path / "home", sections)

    return workspace


@pytest.fixture
def run(tmp_path: Path, workspace: Callable[..., Workspace]) -> Callable[..., Summary]:
    def run(rows: list[dict[str, Any]], strict: bool = False, **settings: Any) -> Summary:
        path = write_items(tmp_path / "items.jsonl", rows)
        return rebuild(workspace(**settings), path, strict=strict, progress=silent)

    return run


def shop(count: int = 40, **more: Any) -> list[dict[str, Any]]:
    return [{"sku": str(n), "name": f"lamp number {n}", "seo": "x", **more} for n in range(count)]


def test_columns_and_bad_values_are_in_the_report(run: Callable[..., Summary]) -> None:
    summary = run([*shop(), {"sku": "x", "name": "y", "price": "cheap"}])
    assert (summary.items, summary.skipped) == (41, 0)
    assert summary.columns == {"from": {"id": "sku", "title": "name"}, "not_read": ["seo"]}
    assert summary.fields["price"].line == 41
    columns, price = summary.notes
    assert columns == "columns: id from 'sku'; title from 'name'; not read: 'seo'"
    assert price.startswith(
        "warning: 1 values of price could not be read and are absent, the first"
    )


def test_strict_rejects_the_line(run: Callable[..., Summary]) -> None:
    rows = [*shop(), {"sku": "x", "name": "y", "price": "cheap"}]
    summary = run(rows, strict=True, max_bad_share=0.5)
    assert [bad["line"] for bad in summary.bad] == [41]


def test_when_nothing_can_be_used_the_reasons_are_said(run: Callable[..., Summary]) -> None:
    rows: list[dict[str, Any]] = [{"id": n, "artikel": "a"} for n in range(5)]
    reasons = r"5 x title is missing \(line 1\); 1 x id is missing \(line 6\).*'id', 'artikel'"
    with pytest.raises(Failure, match=reasons + r".*rejected\.jsonl"):
        run([*rows, {"title": "b"}])


def test_lines_in_an_encoding_nobody_knows_name_the_option(
    tmp_path: Path, workspace: Callable[..., Workspace]
) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes(b"id;title\n1;a \xa4 5\n2;b \xbd 6\n")
    with pytest.raises(Failure, match=r"2 x byte 5 of line 2 \(0xa4\) is not valid.*--encoding"):
        rebuild(workspace(), path, progress=silent)


def test_a_column_that_the_template_names_is_read(run: Callable[..., Summary]) -> None:
    summary = run([{"own": "x", "colour": "red", **row} for row in shop()], template="{name} {own}")
    assert summary.columns["not_read"] == ["colour", "seo"]


def test_a_template_names_the_columns_of_the_file(
    tmp_path: Path, run: Callable[..., Summary]
) -> None:
    run(shop(), template="{name} {seo}")
    version = VersionStore(tmp_path / "home" / "index").current()
    assert version is not None
    assert ItemIndex(version).columns.item(0).extra == {"name": "lamp number 0", "seo": "x"}


@pytest.mark.parametrize("name", ["Name", "nmae", "attributes.colour"])
def test_a_template_that_names_what_is_not_there_is_refused(
    run: Callable[..., Summary], name: str
) -> None:
    rows = [{"id": str(n), "title": f"t {n}", "season": "x"} for n in range(3)]
    refusal = rf"names {{{name}}}, which fills 0 of 3 items. There are: .*title.*season"
    with pytest.raises(Failure, match=refusal) as raised:
        run(rows, template=f"{{title}} {{{name}}}")
    assert raised.value.field == "rebuild.template"


def test_a_name_that_fills_few_items_is_warned_of(run: Callable[..., Summary]) -> None:
    rows = [*shop(30), *shop(31, note="z")[30:]]
    [note] = [note for note in run(rows, template="{name} {note}").notes if "template" in note]
    assert note == "The template's {note} is filled by 1 of 31 items."


def test_many_items_of_one_text_are_warned_of(
    run: Callable[..., Summary], workspace: Callable[..., Workspace]
) -> None:
    assert not any("one and the same text" in note for note in run(shop()).notes)
    rows = [*shop(), *({"sku": f"s{n}", "name": "same"} for n in range(5))]
    [note] = [note for note in run(rows).notes if "one and the same text" in note]
    assert "5 of 45 items" in note and "(s0, s1, s2, ...)" in note
    [finding] = [one for one in examine(workspace()) if one.check == "texts"]
    assert finding.state == "warn" and "5 of 45 items" in finding.message


def test_the_command_reads_what_it_is_told(
    tmp_path: Path, workspace: Callable[..., Workspace]
) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes("id;title;price\n1;Żółta łódź;5,5\n".encode("iso-8859-2"))
    arguments = ["--items", str(path), "--encoding", "latin2", "--strict", "--json"]
    result = CliRunner().invoke(rebuild_command, arguments, obj=workspace())
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["notes"] == ["read as: separator ';'"]
    version = VersionStore(tmp_path / "home" / "index").current()
    assert version is not None
    assert ItemIndex(version).columns.item(0).title == "Żółta łódź"
