"""Jobs of the page: what cannot end well is not started, and what died is not running."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.page import CALLBACK, LINE, NUL, call, page_of, wait_for

from indexes.errors import Failure
from indexes.workspace import Workspace
from service.app import create_app
from service.live import jobs as jobs_module
from service.live.jobs import BadJob, Jobs
from service.page.tabs.compare_results import result_view
from service.page.tabs.compare_tab import start_comparison


@pytest.mark.parametrize(
    ("after", "before", "metric"),
    [
        *(("default", "engine", metric) for metric in (NUL, "ndcg@10\n", "ndcg@", "x", "m" * 500)),
        *((blend, "engine", "mrr") for blend in ("no-such", "a\0b", "default@99", "b" * 500)),
        ("default", "no-such", "mrr"),
    ],
)
def test_no_job_starts_that_cannot_end_well(
    own_home: Path, after: str, before: str, metric: str
) -> None:
    (own_home / "requests").mkdir()
    (own_home / "requests" / "one.jsonl").write_text(LINE)
    client = create_app(Workspace(own_home)).test_client()
    found = client.get("/_dash-dependencies").get_json()
    start = next(one for one in found if one["inputs"][0]["id"] == "compare-run")
    body = call(start, [1], [after, before, "one.jsonl", [metric], ""])
    answer = client.post(CALLBACK, json=body)
    assert answer.status_code in (200, 422) and "job" not in answer.get_json().get("response", {})
    assert not (own_home / "jobs").exists()


def test_a_blend_is_compared_with_itself_under_other_weights(own_home: Path) -> None:
    (own_home / "requests").mkdir()
    (own_home / "requests" / "one.jsonl").write_text(LINE)
    page = page_of(own_home)
    with pytest.raises(Failure, match="two different"):
        start_comparison(page, "", "default", "one.jsonl", ["mrr"])
    with pytest.raises(Failure, match="no signal"):
        start_comparison(page, "", "default", "one.jsonl", ["mrr"], {"nope": 2.0})
    weights = {"semantic": 0.5}
    job = wait_for(page.jobs, start_comparison(page, "", "default", "one.jsonl", ["mrr"], weights))
    assert job.asked["weights"] == "semantic:0.5" and "semantic:0.5" in job.title
    result = page.jobs.result(job.id)
    assert result["weights"] == {"default+weights": weights}
    assert "default+weights" in str(result_view(page.jobs, job))


@pytest.mark.parametrize("part", [NUL, "a\nb", "\x7f", "\ud800", "x" * 5000])
def test_a_job_takes_plain_text(own_home: Path, part: str) -> None:
    jobs = Jobs(Workspace(own_home))
    with pytest.raises(BadJob):
        jobs.start("evaluate", "a title", {}, ["evaluate", "--metric", part])
    with pytest.raises(BadJob):
        jobs.start("evaluate", part, {}, ["evaluate"])
    assert jobs.jobs() == []


def test_a_process_that_cannot_be_started_is_a_job_that_failed(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module.sys, "executable", "/no/such/python")
    jobs = Jobs(Workspace(own_home))
    job = jobs.job(jobs.start("evaluate", "none", {}, ["evaluate"]))
    assert job.state == "failed" and "cannot be started" in job.error
    assert Jobs(Workspace(own_home)).job(job.id).state == "failed"


def test_a_command_that_cannot_be_started_is_a_job_that_failed(own_home: Path) -> None:
    """Written by an earlier version, which did not look at what it was asked for."""
    jobs = Jobs(Workspace(own_home))
    job_id = jobs.start("evaluate", "none", {}, ["evaluate"])
    wait_for(jobs, job_id)
    folder = own_home / "jobs" / job_id
    (folder / "ended.json").unlink()
    about = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps(about | {"command": ["evaluate", NUL]}))
    code = "from service.live.job_runner import main; main()"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    assert jobs.job(job_id).state == "failed" and "cannot be started" in jobs.job(job_id).error


@pytest.mark.parametrize("jump", [0, -400 * 86_400, 400 * 86_400])
def test_a_job_whose_process_died_has_failed(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """With a service that was restarted, and a clock that was set, in between."""
    jobs = Jobs(Workspace(own_home))
    job_id = jobs.start("evaluate", "none", {}, ["evaluate"])
    wait_for(jobs, job_id)
    (own_home / "jobs" / job_id / "ended.json").unlink()  # it was killed before it wrote that
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + (jump or 60))
    job = wait_for(Jobs(Workspace(own_home)), job_id)  # until its runner is gone
    assert job.state == "failed" and job.seconds >= 0
    Jobs(Workspace(own_home)).start("evaluate", "another", {}, ["evaluate", "--help"])


def test_a_home_that_takes_no_jobs_says_so(own_home: Path) -> None:
    (own_home / "jobs").write_text("no folder")
    with pytest.raises(BadJob, match="takes no job"):
        Jobs(Workspace(own_home)).start("evaluate", "none", {}, ["evaluate"])


def test_two_services_on_one_home_share_its_jobs(own_home: Path) -> None:
    one, two = (Jobs(Workspace(own_home)) for _ in range(2))
    job_id = one.start("evaluate", "none", {}, ["evaluate", "--requests", "no.jsonl"])
    assert [job.id for job in two.jobs()] == [job_id]
    assert wait_for(two, job_id).state == "failed"


def test_a_job_of_another_kind_is_not_shown_as_this_one(own_home: Path) -> None:
    jobs = Jobs(Workspace(own_home))
    job_id = jobs.start("tune", "none", {}, ["evaluate"])
    wait_for(jobs, job_id)
    assert jobs.job(job_id, "tune").id == job_id
    with pytest.raises(Failure, match="no job"):
        jobs.job(job_id, "evaluate")
    assert os.path.isdir(own_home / "jobs" / job_id)
