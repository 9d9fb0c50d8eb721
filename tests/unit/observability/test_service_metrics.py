"""Metrics: stages add up, many observations count like each, drift is seen, the page lists all."""

import re
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from support.paths import ROOT
from support.service import BODY, serving
from support.shop import patient

from reranker.experiments.drift import Drift, baseline_of, features_of, stability
from reranker.ranking.ranking import BlendName, Ranked, Ranking
from reranker.runtime.budget import STAGES, Stages
from reranker.runtime.caches import CacheCounts
from service.app import create_app, metrics_of
from service.observability.declared import BulkHistogram
from service.observability.prometheus import CacheDeltas, Metrics, Pending

BOUNDS = (0.1, 1.0, 5.0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.1, 0.5, 1.0, 7.0]))))
def test_many_observations_at_once_count_like_each(seen: list[tuple[str, float]]) -> None:
    """Guards against another inside of prometheus_client's histograms."""
    each, bulk = CollectorRegistry(), CollectorRegistry()
    theirs = Histogram("h", "help", ("stage",), buckets=BOUNDS, registry=each)
    ours = BulkHistogram("h", "help", ("stage",), buckets=BOUNDS, registry=bulk)
    pending = Pending()
    for stage, seconds in seen:
        theirs.labels(stage).observe(seconds)
        pending.observe(ours, seconds, (stage,))
    pending.write()
    pending.write()  # nothing is written twice

    def counted(registry: CollectorRegistry) -> dict[str, float]:
        lines = generate_latest(registry).decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line[0] != "#" and "_created" not in line)
        return {name: pytest.approx(float(value)) for name, value in pairs}

    assert counted(each) == counted(bulk)


def test_stages_leave_out_what_is_inside_them() -> None:
    stages = Stages()
    began = time.perf_counter()
    with stages("signals"):
        time.sleep(0.01)
        with stages("history"):
            time.sleep(0.03)
        time.sleep(0.01)
    whole = time.perf_counter() - began
    assert stages.seconds["history"] >= 0.03
    assert 0.02 <= stages.seconds["signals"] < whole - 0.029
    assert sum(stages.seconds.values()) <= whole


def test_a_stage_ends_when_it_fails() -> None:
    stages = Stages()
    with pytest.raises(KeyError), stages("signals"), stages("history"):
        raise KeyError
    with stages("blend"):
        pass
    assert list(stages.seconds) == ["signals", "history", "blend"]


def test_caches_that_come_and_go_are_counted_once() -> None:
    added = {"hit": 0, "miss": 0}

    def add(_name: str, outcome: str, more: int) -> None:
        added[outcome] += more

    deltas, first, second = CacheDeltas(), CacheCounts(), CacheCounts()
    first.hits, first.misses = 3, 1
    deltas.since("q", first, add)
    first.hits = 5
    second.misses = 2
    deltas.since("q", second, add)
    deltas.since("q", second, add)
    assert added == {"hit": 5, "miss": 3}


def ranking(margin: float, moved: int = 0, version: int = 1) -> Ranking:
    results = [Ranked("a", moved, 1, 1.0), Ranked("b", 1, 2, 1.0 - margin)]
    return Ranking(results, BlendName("default", version), {}, [])


def test_features_by_hand() -> None:
    assert features_of(ranking(0.25, moved=4)) == (0.25, 0.25, 2.0)
    assert features_of(Ranking([], BlendName("default", 1), {}, [])) is None


def test_drift_is_near_0_for_the_same_and_large_for_another(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    drift = Drift(tmp_path, baseline=500, window=500)
    for margin in rng.random(500):
        drift.add(ranking(margin))
    assert drift.values() == {}  # the baseline is made, the window is empty
    assert (tmp_path / "drift" / "default@1.json").exists()
    for margin in rng.random(500):
        drift.add(ranking(margin))
    assert drift.values()["margin"] < 0.1
    for margin in rng.random(500) * 0.5:
        drift.add(ranking(margin))
    assert drift.values()["margin"] > 0.25
    assert drift.values()["displacement"] < 0.01
    other = Drift(tmp_path, baseline=500, window=500)  # another worker, or after a restart
    for margin in rng.random(200) * 0.5:
        other.add(ranking(margin))
    assert other.values()["margin"] > 0.25


def test_a_new_version_of_the_blend_begins_anew(tmp_path: Path) -> None:
    drift = Drift(tmp_path, baseline=10, window=10)
    for version in (1, 2):
        for number in range(25):
            drift.add(ranking(number / 25, version=version))
            drift.values()
        assert drift.values() != {}
    assert len(list((tmp_path / "drift").iterdir())) == 2


def test_the_index_is_the_textbooks() -> None:
    """Two bins: 50/50 against 75/25."""
    rows = [(float(number), 0.0, 0.0) for number in (0, 1)] * 4
    shifted = [(0.0, 0.0, 0.0)] * 6 + [(1.0, 0.0, 0.0)] * 2
    baseline = baseline_of("b@1", rows)
    by_hand = (0.75 - 0.5) * np.log(0.75 / 0.5) + (0.25 - 0.5) * np.log(0.25 / 0.5)
    assert stability(baseline, shifted)["margin"] == pytest.approx(by_hand, rel=1e-2)


def test_a_read_only_home_costs_no_drift() -> None:
    drift = Drift(Path("/proc/nowhere"), baseline=10, window=10)
    for number in range(20):
        drift.add(ranking(number / 20))
        drift.values()
    assert drift.values() != {}


def test_versions_caches_and_gate_are_told(shop_home: Path) -> None:
    app = create_app(patient(shop_home))
    client = app.test_client()
    for _ in range(3):
        client.post("/rerank", json=BODY)
    text = client.get("/metrics").text
    versions = client.get("/readyz").get_json()["versions"]
    assert f'reranker_versions_info{{blend="default@1",index="{versions["index"]}"' in text
    hits = re.search(r'reranker_cache_total{cache="query_vectors",outcome="hit"} (\S+)', text)
    assert hits and float(hits[1]) >= 2
    assert "reranker_memory_bytes" in text and "reranker_start_time_seconds" in text
    stages = set(re.findall(r'reranker_stage_seconds_count{stage="(\w+)"}', text))
    assert stages <= set(STAGES)


def test_workers_tell_together(shop_home: Path) -> None:
    with serving(shop_home) as service:
        for _ in range(20):
            assert service.ask("/rerank", BODY)[0] == 200
        text = ""
        end = time.monotonic() + 120
        while "reranker_candidates_count 20.0" not in text and time.monotonic() < end:
            text = service.ask("/metrics")[1].decode()  # the other worker writes what waits
    assert 'reranker_stage_seconds_count{stage="signals"} 20.0' in text
    assert "reranker_candidates_count 20.0" in text
    assert len(re.findall("^reranker_versions_info", text, re.M)) == 1


def test_the_page_lists_every_metric_and_no_other() -> None:
    metrics = Metrics()
    named = {family.name for family in metrics.families()} | {"reranker_versions"}
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = set(re.findall(r"^\| `(reranker_\w+?)(?:_total|_info)?(?:\{[^}]*\})?` \|", page, re.M))
    assert rows == named
    suffix = "(?:_total|_bucket|_count|_sum|_info)?"
    in_queries = set(re.findall(rf"\b(reranker_\w+?){suffix}[{{\[) ]", page))
    assert in_queries <= named


def test_metrics_of_an_application(shop_home: Path) -> None:
    app = create_app(patient(shop_home))
    assert metrics_of(app) is not metrics_of(create_app(patient(shop_home)))


class Unhurried(deque[Ranking]):
    """Lets other threads run between a look at it and what is taken from it."""

    def popleft(self) -> Ranking:
        time.sleep(0.001)
        return super().popleft()


def test_threads_that_refresh_at_once_do_not_hinder_each_other(shop_home: Path) -> None:
    """/metrics is asked while the background writes, and with rankings that wait."""
    metrics = metrics_of(create_app(patient(shop_home)))
    metrics._drifting = Unhurried(ranking(0.5) for _ in range(7))
    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(metrics.refresh) for _ in range(4)]:
            one.result()
    assert not metrics._drifting
