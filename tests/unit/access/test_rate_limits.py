"""Requests per second of each key: counted over all workers, and of nobody else's concern."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.keys import BODY, bearing

from indexes.workspace import Workspace
from service.access.keys import KeyFile
from service.access.rate_limits import BURST_SECONDS, Rates
from service.app import create_app
from service.http.settings import LimitSettings

CHILD = """
import sys, time
from pathlib import Path
from service.access.rate_limits import Rates
rates, until, taken = Rates(Path(sys.argv[1])), time.monotonic() + 0.5, 0
while time.monotonic() < until:
    taken += rates.wait("search", 50.0) == 0.0
print(taken)
"""


@pytest.mark.promise(31)
def test_workers_share_one_rate(tmp_path: Path) -> None:
    began = time.monotonic()
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    taken = sum(int(child.communicate()[0]) for child in children)
    allowed = 50 * (time.monotonic() - began) + 50 * BURST_SECONDS
    assert 50 <= taken <= allowed + 1


@given(
    rate=st.floats(0.1, 1000),
    gaps=st.lists(st.floats(0, 2) | st.just(0.0), min_size=1, max_size=60),
)
def test_never_more_than_a_bucket_would_hand_out(rate: float, gaps: list[float]) -> None:
    """Against a token bucket as books draw it."""
    rates, now = Rates(None), 1000.0
    capacity = max(1.0, rate * BURST_SECONDS)
    tokens, last = capacity, now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now)
        for gap in gaps:
            now += gap
            tokens, last = min(capacity, tokens + (now - last) * rate), now
            wait = rates.wait("search", rate)
            if abs(tokens - 1) > 1e-6:
                assert (wait == 0.0) == (tokens >= 1), (tokens, wait)
            if wait == 0.0:
                tokens -= 1
            else:
                assert wait == pytest.approx((1 - tokens) / rate, abs=1e-6)


def test_a_worker_that_dies_with_the_lock_holds_up_nobody(tmp_path: Path) -> None:
    rates = Rates(tmp_path)
    code = (
        "import fcntl, os, sys\nfd = os.open(sys.argv[1], os.O_RDWR)\n"
        "fcntl.lockf(fd, fcntl.LOCK_EX)\nos.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "rates")])
    assert rates.wait("search", 1.0) == 0.0


@pytest.mark.promise(31)
def test_limits_rate_and_a_keys_own(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = KeyFile(own_home)
    own = file.create("own", ("rerank",), 1.0)[0]
    free = file.create("free", ("rerank", "admin"), 0.0)[0]
    default = file.create("default", ("rerank",))[0]
    workspace = Workspace(own_home, {LimitSettings: LimitSettings(rate=2.0)})
    client = create_app(workspace).test_client()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def statuses(key: str) -> list[int]:
        answers = [client.post("/rerank", json=BODY, headers=bearing(key)) for _ in range(6)]
        return [answer.status_code for answer in answers]

    assert statuses(own) == [200] * 2 + [429] * 4
    assert statuses(default) == [200] * 4 + [429] * 2  # another's limit is none of its concern
    assert statuses(free) == [200] * 6
    refused = client.post("/rerank", json=BODY, headers=bearing(own))
    assert refused.get_json()["error"]["code"] == "too_many_requests"
    assert refused.headers["Retry-After"] == "1"
    metrics = client.get("/metrics", headers=bearing(free)).text
    assert 'reranker_rate_limited_total{key="own"} 5.0' in metrics
    assert 'reranker_refused_total{reason="too_many_requests"} 7.0' in metrics
    later = now + 1.01
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert client.post("/rerank", json=BODY, headers=bearing(own)).status_code == 200


@pytest.mark.promise(37)
def test_setting_the_clock_changes_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = Rates(None)
    assert rates.wait("search", 0.1) == 0.0
    real = time.time
    for jump in (-1e8, 1e8):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        assert rates.wait("search", 0.1) > 5


def test_only_the_owner_reads_the_file(tmp_path: Path) -> None:
    Rates(tmp_path)
    assert os.stat(tmp_path / "rates").st_mode & 0o777 == 0o600
