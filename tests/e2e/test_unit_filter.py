"""What the systemd unit lets a process do, under its real filters: all that serving needs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.page import LINE
from support.paths import ROOT, TESTS
from support.seccomp import library
from support.service import BODY, serving

UNIT = ROOT / "docs" / "deploy" / "reranker.service"
STOPPED_BY_FILTER = -signal.SIGSYS


def within(unit: Path) -> list[str]:
    return [sys.executable, "-m", "support.seccomp", str(unit)]


def python(code: str, *args: str, unit: Path = UNIT) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", code, *args]
    paths = os.pathsep.join([str(TESTS), str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"PYTHONPATH": paths}
    return subprocess.run(
        [*within(unit), *program], capture_output=True, text=True, env=env, timeout=600
    )


@pytest.fixture(scope="module", autouse=True)
def _filters() -> None:
    try:
        library()
    except OSError as error:
        pytest.skip(f"libseccomp is not there: {error}")
    done = python("")
    if done.returncode and "seccomp: " in done.stderr:
        pytest.skip(f"filters are not permitted here: {done.stderr.splitlines()[-1]}")


@pytest.mark.parametrize("name", ["numpy", "scipy.optimize", "faiss", "onnxruntime", "lightgbm"])
def test_libraries_are_imported(name: str) -> None:
    pytest.importorskip(name)
    done = python(f"import {name}")
    assert done.returncode == 0, done


def test_the_service_answers_takes_events_and_stops(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(ROOT)]))
    event = {"user": "u1", "type": "view", "item": "17", "time": "2026-11-23T10:00:00Z"}
    with serving(own_home, "--workers", "2", within=within(UNIT)) as service:
        status = Path(f"/proc/{service.process.pid}/status").read_text()
        assert "Seccomp:\t2" in status
        assert service.ask("/events", event)[0] == 200
        answered, body = service.ask("/rerank", BODY | {"user": "u1"})
        assert answered == 200
        assert {one["reason"] for one in json.loads(body)["degraded"]} <= {"no_model"}
        assert service.ask("/readyz")[0] == 200
        assert service.stop() == 0


def test_jobs_of_the_page_run_to_their_end(own_home: Path) -> None:
    requests = own_home / "requests" / "one.jsonl"
    requests.parent.mkdir()
    requests.write_text(LINE)
    code = (
        "import sys, pathlib; from support.page import wait_for; "
        "from indexes.workspace import Workspace; from service.live.jobs import Jobs; "
        "jobs = Jobs(Workspace(pathlib.Path(sys.argv[1]))); "
        "job = wait_for(jobs, jobs.start('evaluate', 'one', {}, sys.argv[2:])); "
        "print(job.state, job.error)"
    )
    done = python(code, str(own_home), "evaluate", "--requests", str(requests), "--json")
    assert done.stdout == "done \n", done


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import os, sys; os.chown(sys.executable, -1, -1)", "PermissionError"),
        ("import mmap; mmap.mmap(-1, 1, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)", "PermissionError"),
        ("import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", "not supported"),
        ("import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", "not supported"),
    ],
)
def test_what_serving_does_not_need_is_refused(code: str, error: str) -> None:
    done = python(code)
    assert done.returncode == 1 and error in done.stderr, done


def test_a_unit_without_an_error_number_ends_what_it_refuses(tmp_path: Path) -> None:
    """So that this file would see a unit that cannot start."""
    strict = tmp_path / "strict.service"
    text = UNIT.read_text().replace("SystemCallErrorNumber=EPERM\n", "")
    strict.write_text(text.replace("~@privileged", "~@privileged @resources"))
    done = python("import os; os.nice(1)", unit=strict)
    assert done.returncode == STOPPED_BY_FILTER, done
