"""evaluate_recommend.py: histories without their last items -> how well those are recommended.

A home of its own is trained on what is left, and asked as POST /recommend asks; the whole catalogue
may be named, and so may what the shopper met already. Baselines know the same events.
"""

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from indexes.items.index import ItemIndex
from indexes.storage.arrays import Floats, Ints, Rows, Vectors
from indexes.workspace import Workspace
from reranker.applications.recommendations.candidates import CatalogueLists
from reranker.applications.recommendations.recommend import (
    Prepared,
    prepare,
    prepare_exact,
    ranked_rows,
)
from reranker.applications.recommendations.recommend_blend import BLENDED, RecommendCard
from reranker.applications.recommendations.recommend_publishing import write_recommend
from reranker.applications.recommendations.wishes import Wish
from reranker.histories.store import open_histories
from reranker.metrics.coverage import coverage, gini
from reranker.metrics.intervals import bootstrap_interval
from reranker.model.settings import TrainSettings
from reranker.model_selection.baselines import baselines
from reranker.model_selection.next_item import Interval, split_parts
from reranker.model_selection.train import train
from reranker.ranking.ranking import rerank
from reranker.ranking.state import load_state
from reranker.requests import RerankRequest
from reranker.training.data import index_catalogue
from reranker.training.sequences import kept_events
from reranker.training.sources import imported_sequences, published_index

TOP: Final = 10
EXACT_ITEMS: Final = 20_000  # up to which the whole catalogue is ranked by the blend, too
BASELINES: Final = ("popular", "together", "last-item", "ease")
Say = Callable[[str], None]
Lists = list[Rows]  # of each case, its first ten rows


class RecommendReport(msgspec.Struct, frozen=True, kw_only=True):
    """metrics: plain numbers by model; difference: recommend minus each other model's ndcg@10.

    shipped: what answers POST /recommend. chosen: what that is: `blend`, or the signal that is
    served alone, since the blend fitted on one half of `fitted_on` moments held out of the training
    did not beat it on the other half (`signals`, NDCG@10). exact: the same scores of every item.
    exact_loss: the share of its ndcg@10 that the candidates lose. best: of all that know as much.
    """

    users: int
    items: int
    left_out: int
    metrics: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, Interval]]
    difference: dict[str, dict[str, float]]
    shipped: str
    best: str
    chosen: str
    fitted_on: int
    signals: dict[str, float]
    exact_loss: float | None
    has_encoder: bool
    not_possible: dict[str, str] = {}


def evaluate_recommend(
    workspace: Workspace, settings: TrainSettings, users: int, say: Say
) -> RecommendReport:
    """Leave-one-out by shopper. users: at most so many are asked, evenly spread."""
    index = published_index(workspace)
    catalogue, sequences, _ = index_catalogue(index, imported_sequences(workspace))
    parts = split_parts(sequences, "leave-one-out")
    chosen = np.unique(
        np.linspace(0, len(parts.cases) - 1, min(users, len(parts.cases))).astype(int)
    )
    cases = parts.cases.of(chosen)
    lists: dict[str, Lists] = {}
    possible = baselines(sequences, parts.limits, catalogue, parts.cutoff)
    for name in BASELINES:
        if name in possible:
            scores = possible[name]()
            lists[name] = [_best(scores(cases.of(np.array([at])))[0]) for at in range(len(cases))]
            say(f"{name}: done")
    with tempfile.TemporaryDirectory() as folder:
        own = _home(
            workspace,
            Path(folder),
            dict(zip(sequences.shoppers, parts.limits - sequences.at[:-1], strict=True)),
        )
        train(own, settings, say, beside=(write_recommend,))
        with closing(open_histories(own)) as histories:
            state = load_state(own, histories)
            shared = CatalogueLists(state.index, state.personal.learned)
            names = [sequences.shoppers[at] for at in cases.shoppers.tolist()]
            exact = len(index) <= EXACT_ITEMS
            lists["recommend"] = []
            if exact:
                lists["exact"] = []
            for name, now in zip(names, cases.now.tolist(), strict=True):
                # Lines of one order have one time: those before the last one are known.
                asked = RerankRequest([], user=name, time=math.nextafter(now, math.inf))
                wish = Wish(asked, top_n=TOP)
                lists["recommend"].append(_ranked(prepare(wish, state, shared), index))
                if exact:
                    lists["exact"].append(_ranked(prepare_exact(wish, state, shared), index))
            card = shared.recommend
            has_encoder = bool(state.model and state.model.has_encoder)
    known = np.bincount(sequences.before(parts.limits).items.clip(0), minlength=len(index))
    return _report(
        lists,
        cases.targets,
        known,
        index.vectors(np.arange(len(index))),
        len(index),
        len(sequences) - len(parts.cases),
        has_encoder,
        possible,
        card,
    )


def _home(workspace: Workspace, folder: Path, most: Mapping[str, int]) -> Workspace:
    """A home with the same index, and of each shopper's events only the first so many."""
    own = Workspace(folder / "home", workspace.sections)
    own.home.mkdir()
    (own.home / "index").symlink_to(workspace.index_root.resolve())
    taken: Counter[str] = Counter()
    newest = workspace.section(TrainSettings).user_events
    with closing(open_histories(workspace)) as source, closing(open_histories(own)) as target:
        batch = []
        for name, event in kept_events(source, newest):
            if taken[name] < most.get(name, 0):
                taken[name] += 1
                batch.append(msgspec.structs.replace(event, user=name, session=None))
        target.append(batch)
    return own


def _ranked(prepared: Prepared, index: ItemIndex) -> Rows:
    return ranked_rows(rerank(prepared.request, prepared.state), index)


def _best(scores: Vectors) -> Rows:
    return np.argsort(-scores, kind="stable")[:TOP]


def _report(
    lists: Mapping[str, Lists],
    targets: Ints,
    known: Ints,
    vectors: Vectors,
    items: int,
    left_out: int,
    has_encoder: bool,
    possible: Mapping[str, Any],
    card: RecommendCard | None,
) -> RecommendReport:
    each = {name: _values(own, targets) for name, own in lists.items()}
    metrics = {
        name: {**_means(each[name]), **_beyond(own, known, vectors, items)}
        for name, own in lists.items()
    }
    intervals, difference = {}, {}
    for name, values in each.items():
        low, high = bootstrap_interval(values) if len(values) > 1 else (values[0], values[0])
        intervals[name] = {
            metric: Interval(float(low[at]), float(high[at])) for at, metric in enumerate(_NAMES)
        }
        if name != "recommend":
            gain = (each["recommend"] - values)[:, 1:]
            low, high = bootstrap_interval(gain) if len(gain) > 1 else (gain[0], gain[0])
            difference[name] = {
                "mean": float(gain.mean()),
                "low": float(low[0]),
                "high": float(high[0]),
            }
    plain = [name for name in metrics if name != "exact"]
    return RecommendReport(
        users=len(targets),
        items=items,
        left_out=left_out,
        metrics=metrics,
        intervals=intervals,
        difference=difference,
        shipped="recommend",
        best=max(plain, key=lambda name: metrics[name]["ndcg@10"]),
        has_encoder=has_encoder,
        chosen=card.chosen if card else BLENDED,
        fitted_on=card.moments if card else 0,
        signals=card.ndcg if card else {},
        exact_loss=_exact_loss(metrics),
        not_possible={
            name: "more items than it takes" for name in BASELINES if name not in possible
        },
    )


def _exact_loss(metrics: Mapping[str, Mapping[str, float]]) -> float | None:
    """Share of the NDCG@10 of exact scoring that the candidate step loses."""
    exact = metrics.get("exact", {}).get("ndcg@10", 0.0)
    return 1.0 - metrics["recommend"]["ndcg@10"] / exact if exact > 0 else None


_NAMES: Final = ("hit@10", "ndcg@10")


def _values(lists: Lists, targets: Ints) -> Floats:
    """hit@10 and ndcg@10 of each case (n, 2)."""
    values = np.zeros((len(targets), 2))
    for case, (rows, target) in enumerate(zip(lists, targets.tolist(), strict=True)):
        at = np.flatnonzero(rows[:TOP] == target)
        if len(at):
            values[case] = 1.0, 1.0 / np.log2(at[0] + 2.0)
    return values


def _means(values: Floats) -> dict[str, float]:
    return dict(zip(_NAMES, values.mean(axis=0).tolist(), strict=True))


def _beyond(lists: Lists, known: Ints, vectors: Vectors, items: int) -> dict[str, float]:
    """Coverage and Gini of what is shown, mean bits of novelty, and mean distance within a list."""
    shown = np.bincount(np.concatenate(lists), minlength=items).astype(np.float64)
    chance = (known + 1.0) / (known.sum() + items)
    novelty = float(np.mean([-np.log2(chance[rows]).mean() for rows in lists if len(rows)]))
    apart = []
    for rows in lists:
        if len(rows) > 1:
            near = vectors[rows] @ vectors[rows].T
            apart.append(1.0 - float(near[np.triu_indices(len(rows), 1)].mean()))
    return {
        "coverage": coverage(shown),
        "gini": gini(shown),
        "novelty": novelty,
        "diversity": float(np.mean(apart)) if apart else 0.0,
    }
