"""The page without a browser: its headers, who may post, request sets, jobs, percentiles."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from support.page import LINE, call, wait_for
from support.paths import ROOT
from support.waiting import wait_until

from indexes.errors import Failure
from indexes.workspace import Workspace
from reranker.signals.registry import SIGNALS
from service.app import create_app
from service.live.jobs import AT_ONCE, Jobs
from service.observability.figures import percentile
from service.page import page_routes
from service.page.parts.request_sets import RequestSets
from service.page.tabs.blend_rows import Blends

CALLBACK = "/_dash-update-component"


def test_the_page_forbids_what_it_does_not_need(client: FlaskClient) -> None:
    answer = client.get("/")
    policy = answer.headers["Content-Security-Policy"]
    scripts = next(rule for rule in policy.split("; ") if rule.startswith("script-src"))
    assert answer.status_code == 200 and "text/html" in answer.headers["Content-Type"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in scripts and "http" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_every_worker_hands_out_what_another_ones_page_names(
    client: FlaskClient, shop_home: Path
) -> None:
    named = re.findall(r'(?:src|href)="(/?(?:_dash|assets)[^"]+)"', client.get("/").text)
    other = create_app(Workspace(shop_home)).test_client()
    assert len(named) > 10
    for address in named:
        answer = other.get(f"/{address.lstrip('/')}")
        assert answer.status_code == 200, address
        answer.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost:1"},
    ],
)
def test_another_site_cannot_post(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.post(CALLBACK, json={}, headers=headers)
    assert answer.status_code == 403
    assert answer.get_json()["error"]["code"] == "foreign_origin"


def test_the_page_itself_can_post(client: FlaskClient) -> None:
    body = {
        "output": "user.data",
        "outputs": {"id": "user", "property": "data"},
        "inputs": [{"id": "url", "property": "pathname", "value": "/"}],
        "changedPropIds": ["url.pathname"],
    }
    own = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}
    assert client.post(CALLBACK, json=body, headers=own).status_code == 200


def test_without_the_extra_the_page_names_the_command(
    shop_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_routes, "NEEDED", ("no_such_package",))
    client = create_app(Workspace(shop_home)).test_client()
    answer = client.get("/")
    assert answer.status_code == 200
    assert "pip install 'shop-reranker[page]'" in answer.get_json()["page"]
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("name", ["dash", "plotly", "dash_ag_grid"])
def test_a_worker_that_nobody_asks_for_the_page_does_not_import_it(name: str) -> None:
    code = f"import service.app, sys; assert {name!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


@pytest.mark.promise(28)
@pytest.mark.parametrize(
    "name", ["../x.jsonl", "x.json", ".x.jsonl", "a/b.jsonl", "x.jsonl\n", "", "x.jsonl.gz.sh"]
)
def test_a_set_has_a_plain_name(tmp_path: Path, name: str) -> None:
    sets = RequestSets(tmp_path)
    with pytest.raises(Failure):
        sets.save(name, LINE.encode())
    with pytest.raises(Failure):
        sets.path(name)
    assert list(tmp_path.rglob("*.jsonl*")) == []


def test_a_set_is_kept_once_and_read_by_key(tmp_path: Path) -> None:
    sets = RequestSets(tmp_path)
    sets.save("two.jsonl", (LINE + LINE).encode())
    assert [one.key for one in sets.summaries("two.jsonl")] == ["a", "line 2"]
    assert sets.request("two.jsonl", "line 2").query == "lamp"
    with pytest.raises(Failure, match="already"):
        sets.save("two.jsonl", LINE.encode())
    with pytest.raises(Failure, match="line 2"):
        sets.save("bad.jsonl", (LINE + "{}\n").encode())
    with pytest.raises(Failure, match="no request"):
        sets.save("none.jsonl", b"\n")


def test_ids_of_a_set_are_read_in_their_one_form(tmp_path: Path) -> None:
    sets = RequestSets(tmp_path)
    sets.save("ids.jsonl", (LINE.replace('"a"', "7", 1) + LINE.replace('"a"', '" b "', 1)).encode())
    assert [one.key for one in sets.summaries("ids.jsonl")] == ["7", "b"]
    assert [sets.request("ids.jsonl", key).id for key in ("7", "b")] == ["7", "b"]


def test_results_show_refusals_and_warnings() -> None:
    from service.page.parts.job_views import warnings_of

    shown = str(warnings_of({"leaks_by": {"missing": 2}, "warnings": ["odd"]}))
    assert "2 requests refused: they have no time" in shown and "odd" in shown
    assert warnings_of({}) == []


def test_a_job_ends_with_its_result_for_every_worker(own_home: Path) -> None:
    workspace = Workspace(own_home)
    file = own_home / "requests.jsonl"
    file.write_text(LINE)
    command = ["evaluate", "--requests", str(file), "--per-query", "{per_query}", "--json"]
    job_id = Jobs(workspace).start("evaluate", "a title", {}, command)
    other = Jobs(workspace)  # another worker
    job = wait_for(other, job_id)
    assert (job.state, job.title, job.error) == ("done", "a title", "")
    assert other.result(job_id)["queries"] == 1
    assert json.loads(other.per_query(job_id).read_text())["id"] == "a"
    assert job.progress["done"] == job.progress["total"] == 1


def test_a_job_that_fails_says_why(own_home: Path) -> None:
    jobs = Jobs(Workspace(own_home))
    job = wait_for(jobs, jobs.start("evaluate", "none", {}, ["evaluate", "--requests", "no.jsonl"]))
    assert job.state == "failed" and "no.jsonl" in job.error


def test_jobs_are_few_and_can_be_cancelled(own_home: Path) -> None:
    jobs = Jobs(Workspace(own_home))
    requests = own_home / "long.jsonl"
    line = b'{"query": "lamp", "candidates": [{"id": "25"}, {"id": "3"}], "ratings": {"25": 1}}\n'
    requests.write_bytes(line * 100_000)  # minutes of work
    command = ["evaluate", "--requests", str(requests)]
    started = [jobs.start("serve", "long", {}, command) for _ in range(AT_ONCE)]
    with pytest.raises(Failure, match="no more than"):
        jobs.start("serve", "one too many", {}, command)
    for job_id in started:
        at_work = own_home / "jobs" / job_id / "pid"
        wait_until(lambda at_work=at_work: at_work.exists() and at_work.read_text())  # type: ignore[misc]
        jobs.cancel(job_id)
    assert [wait_for(jobs, job_id).state for job_id in started] == ["cancelled"] * AT_ONCE
    for wrong in ("../jobs", "0" * 12 + "-" + "0" * 6):
        with pytest.raises(Failure):
            jobs.job(wrong)


def test_blends_are_published_and_taken_back(own_home: Path) -> None:
    blends = Blends(own_home / "blends")
    create_app(Workspace(own_home))  # publishes the default
    assert blends.previous() is None
    first = next(row for row in blends.rows() if row.published)
    text = b'{"name": "mine", "signals": {"engine": {"weight": 2.0}}}'
    assert "mine@1" in blends.save(text, "mine.json")
    blends.publish("mine@1", "somebody", first.id)
    assert [row.label for row in blends.rows() if row.published] == ["mine@1"]
    with pytest.raises(Failure):
        blends.publish(first.label, "somebody else", first.id)  # seen before mine was published
    assert any("engine" in line for line in blends.diff(first.label, "mine@1"))
    back = blends.previous()
    assert back is not None and back.label == first.label
    with pytest.raises(Failure):
        blends.rollback("somebody", first.id)  # seen before mine was published
    blends.rollback("somebody")
    assert [row.label for row in blends.rows() if row.published] == [first.label]


def test_percentiles_lie_within_their_bucket() -> None:
    buckets = {0.01: 50.0, 0.1: 90.0, float("inf"): 100.0}
    assert percentile(buckets, 0.5) == 0.01
    assert percentile(buckets, 0.7) == pytest.approx(0.055)
    assert percentile(buckets, 0.99) == 0.1
    assert percentile({0.1: 0.0, float("inf"): 0.0}, 0.5) is None


def test_every_signal_has_a_colour() -> None:
    style = (ROOT / "service/page/assets/page.css").read_text()
    assert [name for name in SIGNALS if f".sg-{name} {{" not in style] == []


@pytest.mark.parametrize("recommended", [True, False])
def test_the_tune_card_says_what_the_stored_note_says(recommended: bool) -> None:
    """The gain of what validation chose; a kind's own gain is another number beside it."""
    from service.page.tabs.tune_card import tuned_view

    low = 0.1 if recommended else -0.1
    gain = {"mean": 0.1439, "low": low, "high": 0.2, "p": 0.001}
    trees = {"mean": 0.1676, "low": 0.1, "high": 0.23, "p": 0.0001}
    result = {
        "metric": "ndcg@10",
        "metrics": {"chosen": {"ndcg@10": 0.77}, "trees": {"ndcg@10": 0.8}},
        "difference": {"ndcg@10": gain},
        "differences": {"trees": {"ndcg@10": trees}},
        "against_published": {"ndcg@10": {"mean": 0.1, "low": 0.06, "high": 0.14, "p": 0.0001}},
        "published": "default@2",
        "compared_with": "engine",
        "chosen": "trees",
        "recommended": recommended,
        "queries": 80,
        "held_out": 80,
        "saved": "tuned@1",
    }
    verdict, why, steps, *_ = tuned_view(result).children
    assert "+0.1439 against engine on 80 queries held out" in str(verdict)
    assert ("Not recommended: tuned@1" in str(verdict)) is not recommended
    assert ("includes zero" in str(why)) is not recommended
    assert "default@2" in str(why)
    assert "?tab=compare&after=tuned@1&before=default@2" in str(steps)
    assert "tuned-open" in str(steps)
    assert "+0.1676" in str(tuned_view(result))


def test_a_home_without_a_model_says_what_makes_one(client: FlaskClient) -> None:
    dependencies = client.get("/_dash-dependencies").get_json()
    look = next(one for one in dependencies if "system-versions.children" in one["output"])
    shown = client.post(CALLBACK, json=call(look, ["system", 0], [[]])).text
    assert "No model is trained yet" in shown and "reranker train" in shown
    assert "no model because" not in shown
