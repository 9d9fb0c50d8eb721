"""`reranker evaluate cart`: every model in one table, the shipped one named."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from reranker.applications.carts.baskets import baskets_of
from reranker.applications.carts.cart_baselines import cart_baselines, tifu_vector
from reranker.applications.carts.cart_evaluation import BLEND, evaluate_carts
from reranker.applications.carts.cart_fitting import Case
from reranker.events.events import TYPES, HistoryEvent
from reranker.training.sequences import Sequences, sequences_of
from service.commands.cli import cli

DAY = 86_400.0


def shoppers(count: int = 60, visits: int = 6) -> Sequences:
    """Everyone buys pairs (2 i, 2 i + 1), and a staple of their own each time."""
    rng = np.random.default_rng(3)
    events = []
    for shopper in range(count):
        for visit in range(visits):
            first = 2 * int(rng.integers(15))
            time = DAY * (visit * 10 + shopper / count)
            for item in (first, first + 1, 30 + shopper % 20):
                event = HistoryEvent(type="purchase", item=f"i{item}", time=time)
                events.append((f"u{shopper}", event))
    return sequences_of(events, TYPES)


def test_pairs_complete_and_staples_come_again() -> None:
    report = evaluate_carts(shoppers(), 30.0, 2, 2)
    assert report.shipped in report.metrics and report.shipped_next in report.metrics
    blend = report.metrics[BLEND]
    assert blend["recall@10"] > 0.7 > report.metrics["popularity"]["recall@10"]
    assert blend["next_repeat_recall@10"] > 0.5
    for task, prefix in (("complete", ""), ("next", "next_")):
        best = report.metrics[report.best_single[task]][f"{prefix}ndcg@10"]
        apart = report.difference[task]["ndcg@10"]
        assert apart.mean == pytest.approx(blend[f"{prefix}ndcg@10"] - best)


def test_the_command_prints_one_object(tmp_path: Path) -> None:
    sequences = shoppers()
    lines = [
        json.dumps(
            {
                "user": sequences.shoppers[owner],
                "type": "purchase",
                "item": sequences.item_ids[item],
                "time": 1.6e9 + time,
            }
        )
        for owner, item, time in zip(
            sequences.owner.tolist(),
            sequences.items.tolist(),
            sequences.times.tolist(),
            strict=True,
        )
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines))
    args = ["--home", str(tmp_path / "home"), "evaluate", "cart", "--events", str(file)]
    done = CliRunner().invoke(cli, [*args, "--cases", "50", "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout.splitlines()[-1])
    assert {"recall@10", "ndcg@10"} <= set(result["metrics"][result["shipped"]])
    assert {"tifu-knn", "ease-full", "item-cosine", "personal-frequency"} <= set(result["metrics"])


def test_tifu_decays_within_groups_and_over_them() -> None:
    """Eight baskets: groups of two, (6, 7) the newest of four."""
    past = [np.array([at]) for at in range(8)]
    vector = tifu_vector(past, 8)
    assert vector[7] == pytest.approx(1 / 2 / 4)
    assert vector[6] == pytest.approx(0.9 / 2 / 4)
    assert vector[1] == pytest.approx(0.7**3 / 2 / 4)


def test_personal_frequency_breaks_ties_by_popularity() -> None:
    sequences = shoppers(10, 2)
    baskets = baskets_of(sequences, 30.0)
    score = cart_baselines(baskets, len(sequences.item_ids))["personal-frequency"]
    past = [np.array([3, 4]), np.array([4])]
    scores = score(Case(0, 0, np.array([4]), past, np.array([1])))
    assert scores.argmax() == 4 and np.sort(scores)[-2] == scores[3]
