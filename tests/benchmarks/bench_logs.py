"""bench_logs.py: what logging a ranking costs, and how near estimates from logs come to the truth.

    python tests/benchmarks/bench_logs.py [--searches 100000]

The demo shop's searches are shown in orders of their own (tests/support/trial.py), where the true
examination, (position + 1)^-0.7, and the true chance of every click are known.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.trial import (
    ORDERS,
    Trial,
    TrialCounts,
    logged_clicks,
    make_trial,
    orders_of,
    trial_counts,
    true_clicks,
)

from indexes.storage.arrays import Floats
from reranker.feedback.click_judgments import attractiveness
from reranker.feedback.click_models import Examination, Method, Shape, fit_clicks
from reranker.feedback.log import RankingLog
from reranker.feedback.off_policy import estimate
from reranker.feedback.settings import RankingLogSettings
from reranker.ranking.ranking import BlendName, Ranked, Ranking
from reranker.requests import Candidate, RerankRequest
from service.demo.season.clicks import PAGE, examined
from service.demo.season.data import FULL, SEED
from service.demo.season.logs import Season, make_season

CANDIDATES = 100
RANKINGS = 5000


def logging_cost() -> Iterator[str]:
    """Microseconds of the request, microseconds of the thread that writes, and bytes."""
    candidates = [Candidate(f"{10_000 + n}", 20.1234 - n / 7) for n in range(CANDIDATES)]
    asked = RerankRequest(candidates, "red running shoes", user="u42", session="s1", top_n=24)
    results = [Ranked(candidates[n].id, n, n + 1, 1.0) for n in range(24)]
    ranking = Ranking(results, BlendName("default", 3), {}, [])
    with tempfile.TemporaryDirectory() as folder:
        log = RankingLog(Path(folder), RankingLogSettings(), lambda _outcome, _count: None)
        taken = []
        for number in range(RANKINGS):
            began = time.perf_counter()
            log.add(f"{number:032x}", asked, ranking)
            taken.append((time.perf_counter() - began) * 1e6)
            time.sleep(0.0002)  # not faster than rankings come
        log.flush()
        began = time.thread_time()
        for number in range(RANKINGS):
            log.add(f"{number:032x}", asked, ranking)
        log.flush()
        writing = (time.thread_time() - began) / RANKINGS * 1e6
        size = sum(path.stat().st_size for path in Path(folder).glob("*.jsonl")) / (2 * RANKINGS)
    taken.sort()
    p50, p99 = statistics.median(taken), taken[int(RANKINGS * 0.99)]
    yield f"a request pays        p50 {p50:.1f} us, p99 {p99:.1f} us"
    yield f"the writing thread    {writing:.1f} us a ranking of {CANDIDATES} candidates, 24 shown"
    yield f"a ranking takes       {size:,.0f} bytes"


def correlations(one: Floats, other: Floats) -> tuple[float, float]:
    """Pearson's of the values, and of their ranks with ties by their order."""
    ranks = [np.argsort(np.argsort(values, kind="stable")) for values in (one, other)]
    return float(np.corrcoef(one, other)[0, 1]), float(np.corrcoef(*ranks)[0, 1])


def fitted(counts: TrialCounts, shape: Shape = "monotone", method: Method = "balance") -> Floats:
    """Examination by position."""
    columns = (counts.pair, counts.position, counts.shown, counts.clicked)
    return fit_clicks(*columns, shape, method).examination.by_position


def curve_lines(season: Season, trial: Trial) -> Iterator[str]:
    """The fitted examination beside the true one."""
    truth = examined(np.arange(PAGE))
    counts = trial_counts(season, trial)
    yield f"examination from {len(trial.steps):,} searches, {int(counts.clicks.sum()):,} clicks"
    yield f"  truth                 {_some(truth)}"
    fits: tuple[tuple[Method, Shape], ...] = (
        ("balance", "monotone"),
        ("balance", "power"),
        ("em", "monotone"),
    )
    for method, shape in fits:
        curve = fitted(counts, shape, method)
        error = np.abs(curve - truth)
        yield (
            f"  {method:<8}{shape:<9}     {_some(curve)}   error: mean {error.mean():.3f}, "
            f"most {error.max():.3f}"
        )


def _some(curve: Floats) -> str:
    return " ".join(f"{place}: {curve[place - 1]:.3f}" for place in (1, 2, 3, 5, 10, 24))


def judgment_lines(season: Season, trial: Trial) -> Iterator[str]:
    """Estimated attractiveness of each pair beside its true mean utility and attractiveness."""
    counts = trial_counts(season, trial)
    curve = Examination(fitted(counts))
    looks = np.bincount(counts.pair, counts.shown * curve.at(counts.position, PAGE))
    for least in (10, 20, 50):
        enough = counts.impressions >= least
        line = f"  {int(enough.sum()):>6,} pairs with {least}+ impressions:"
        for name, base in (("click rate", counts.impressions), ("corrected", looks)):
            rate = attractiveness(base[enough], counts.clicks[enough])
            error = float(np.sqrt(np.mean((rate - counts.attractive[enough]) ** 2)))
            agree, ranks = correlations(rate, counts.useful[enough])
            line += f"   {name} {agree:.3f} (ranks {ranks:.3f}), off by {error:.3f}"
        yield line


def estimate_lines(season: Season, trial: Trial) -> Iterator[str]:
    """Clicks per search of orders that were never shown: truth, estimate, clicks as they are."""
    curve = Examination(fitted(trial_counts(season, trial)))
    orders = orders_of(season, trial)
    logged = logged_clicks(season, trial, orders)
    report = estimate(logged, curve)
    as_they_are = estimate(logged, curve, clip=1.0)  # every click counts the same
    for name, order in orders.items():
        one = report.orders[name]
        yield (
            f"  {name:<20} true {true_clicks(trial, order):.4f}   SNIPS {one.clicks.value:.4f} "
            f"({one.clicks.low:.4f} .. {one.clicks.high:.4f})   clicks as they are "
            f"{as_they_are.orders[name].clicks.value:.4f}   "
            f"effective clicks {one.effective_clicks:,.0f} of {report.clicks:,}"
        )
    shown = true_clicks(trial, trial.order)
    yield f"  what was shown       true {shown:.4f}   observed {report.observed.value:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=100_000)
    args = parser.parse_args()
    print("\n".join(logging_cost()))
    season, _ = make_season(SEED, per_kind=FULL.per_kind, users=FULL.users, visitors=FULL.visitors)
    for searches in (args.searches // 20, args.searches // 5):
        print("\n".join(curve_lines(season, make_trial(season, searches, 1, "engine"))))
    print("clicks per search, from the last of these")
    print("\n".join(estimate_lines(season, make_trial(season, args.searches // 5, 1, "engine"))))
    for by in ORDERS:
        print(f"judgments from {args.searches:,} searches, order by {by}: correlation with")
        print("the true utility, and root mean square error of the attractiveness")
        print("\n".join(judgment_lines(season, make_trial(season, args.searches, 1, by))))


if __name__ == "__main__":
    main()
