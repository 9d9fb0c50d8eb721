"""default_model.py: a trained encoder and counts -> which of them is served, and with what blend.

Both are tried on the moments that were held out: the default blend is fitted with the encoder and
without it, and each is judged on requests that its fit had not seen. The encoder is served where it
is proved to help, and harms nothing that is served today.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from indexes.encoders.query_encoder import load_query_encoder
from indexes.items.index import ItemIndex
from indexes.progress import Progress, silent
from indexes.storage.arrays import Values
from indexes.storage.manifests import Manifest
from indexes.storage.versions import Version
from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT, PERSONAL, WITHOUT_ENCODER, Blend
from reranker.blends.store import BlendStore
from reranker.metrics.intervals import Difference, paired_differences
from reranker.model.item_statistics import ItemStatistics
from reranker.model.learned import Learned
from reranker.model.search_statistics import SearchStatistics
from reranker.model.served_model import ServedModel
from reranker.pseudonyms.keys import PseudonymKeys
from reranker.ranking.query_towers import query_towers
from reranker.ranking.settings import RankingSettings
from reranker.ranking.state import ServedState
from reranker.requests import JudgedRequest
from reranker.runtime.caches import QueryVectors
from reranker.signals.user_history import Personalization
from reranker.tuning.clicks import clicked
from reranker.tuning.columns import JudgedColumns, judged_columns
from reranker.tuning.default_blend import (
    BASE,
    LEARNED,
    DefaultFit,
    Fitted,
    HeldOutSearches,
    cross_fitted,
)

_ENCODER: Final = ("behaviour", "intent")  # signals that the encoder makes
FEWEST: Final = 50  # requests below which nothing is fitted
MOST: Final = 1000  # that are: more move the weights no further
_SEED: Final = 15
PLAIN, WITHOUT, WITH, SERVED = "unpersonalised", "without_encoder", "with_encoder", "served"


class Proof(msgspec.Struct, frozen=True):
    """What the held-out requests say. ndcg: NDCG@10 by order; of the fitted ones on requests that
    their fit had not seen.

    logged: requests whose candidates are those of the shop's own engine, as logged.
    difference: the blend with the encoder minus the one without; None where there is no encoder.
    against_served: the blend, fitted on all of them, minus the published one. strangers: the chosen
    blend with another shopper's history minus without any.
    """

    moments: int
    requests: int
    logged: int
    ndcg: dict[str, float]
    difference: Difference | None
    against_served: Difference | None
    strangers: Difference | None


@dataclass(frozen=True)
class DefaultModel:
    """encoder: whether it is served. blend: the default that fits. proof: None where there was
    too little to try it on."""

    encoder: bool
    blend: Blend
    proof: Proof | None

    @property
    def harms(self) -> bool:
        """Whether the published blend is better than this one beyond doubt."""
        against = self.proof.against_served if self.proof else None
        return against is not None and against.high is not None and against.high < 0


def trial_state(
    workspace: Workspace, index: ItemIndex, folder: Path, about: dict[str, Any]
) -> ServedState:
    """What would be served if this folder's model were published; histories come with requests."""
    settings = workspace.section(RankingSettings)
    version = Version("trial", folder, Manifest("trial", "", {}, about))
    learned = Learned(
        ServedModel(version, index), ItemStatistics(folder, index), SearchStatistics(folder), None
    )
    return ServedState(
        index=index,
        query_vectors=QueryVectors(
            load_query_encoder(index.encoder_folder, settings.encoder_threads), settings.query_cache
        ),
        published=DEFAULT,
        published_version=0,
        store=BlendStore(workspace.blends_root),
        keys=PseudonymKeys(workspace.home),
        text_limit=0,
        personal=Personalization(learned),
        towers=query_towers(index, settings),
    )


def choose(
    requests: Sequence[JudgedRequest],
    moments: int,
    state: ServedState,
    served: Blend | None,
    encoder: bool,
    needs_proof: bool = True,
    progress: Progress = silent,
) -> DefaultModel:
    """requests: of so many moments held out. served: the published blend, where it weighs what was
    learned. encoder: whether the trial has one. needs_proof: else it is served whatever it is
    worth.
    """
    requests = requests[:MOST]
    with progress("signals", 2 * len(requests)) as done:
        own = _columns(requests, state, done)
        strangers = _columns(with_strangers(requests), state, done)
    if len(own) < FEWEST or len(strangers) != len(own):
        with_it = encoder and not needs_proof
        return DefaultModel(with_it, PERSONAL if with_it else WITHOUT_ENCODER, None)
    without = [name for name in LEARNED if name not in _ENCODER]
    fits = {WITHOUT: DefaultFit(without)} | ({WITH: DefaultFit(LEARNED)} if encoder else {})
    results: dict[str, Fitted] = {}
    searches = HeldOutSearches.of(own)
    with progress("fit", len(fits)) as done:
        for name, fit in fits.items():
            results[name] = cross_fitted(fit, searches, strangers)
            done(1)
    return _chosen(searches, fits, results, moments, served, needs_proof)


def with_strangers(requests: Sequence[JudgedRequest]) -> list[JudgedRequest]:
    """The same requests, each as another shopper would have asked it, drawn by chance.

    Who stand side by side came at the same time, often for the same: they are no strangers.
    """
    drawn = np.random.default_rng(_SEED).permutation(len(requests))  # one circle through all
    others = dict(zip(drawn.tolist(), np.roll(drawn, 1).tolist(), strict=True))
    return [
        msgspec.structs.replace(
            request,
            history=requests[others[number]].history,
            time=requests[others[number]].time,
        )
        for number, request in enumerate(requests)
    ]


def _columns(
    requests: Sequence[JudgedRequest], state: ServedState, done: Callable[[int], object]
) -> list[JudgedColumns]:
    columns, _ = judged_columns(requests, state, PERSONAL.signals, done)
    return columns


def _chosen(
    own: HeldOutSearches,
    fits: dict[str, DefaultFit],
    results: dict[str, Fitted],
    moments: int,
    served: Blend | None,
    needs_proof: bool,
) -> DefaultModel:
    plain = _worth(own, BASE)
    values = {PLAIN: plain} | {name: fitted.ndcg for name, fitted in results.items()}
    if served is not None:
        values[SERVED] = _worth(own, served)
    difference = _difference(values[WITH], values[WITHOUT]) if WITH in results else None
    proved = difference is not None and difference.low is not None and difference.low > 0
    name = WITH if WITH in results and (proved or not needs_proof) else WITHOUT
    blend = fits[name].blend(results[name].numbers, "")
    # Both as they would be served: an earlier training fitted the served one on the same searches.
    against_served = _difference(_worth(own, blend), values[SERVED]) if served else None
    proof = Proof(
        moments=moments,
        requests=len(own.requests),
        logged=len(clicked(own.requests)),
        ndcg={order: float(ndcg.mean()) for order, ndcg in values.items()},
        difference=difference,
        against_served=against_served,
        strangers=_difference(results[name].strangers, results[name].impersonal),
    )
    noted = msgspec.structs.replace(blend, note=_note(name, proof))
    return DefaultModel(name == WITH, noted, proof)


def _worth(searches: HeldOutSearches, blend: Blend) -> Values:
    """NDCG@10 of each request (n,) ranked by a stored blend."""
    scores = []
    for judged in searches.requests:
        order = judged.order(blend)
        places = np.empty(len(order))
        places[order] = -np.arange(len(order), dtype=np.float64)
        scores.append(places[judged.rows])
    return searches.ndcg(np.concatenate(scores), np.arange(len(scores)))


def _difference(values: Values, baseline: Values) -> Difference:
    return paired_differences((values - baseline)[:, None])[0]


def _note(name: str, proof: Proof) -> str:
    what = "with the trained encoder" if name == WITH else "without an encoder"
    return (
        f"Fitted by `reranker train` {what}, on {proof.requests:,} searches held out of it: "
        f"NDCG@10 {proof.ndcg[PLAIN]:.3f} unpersonalised, {proof.ndcg[name]:.3f} on searches that "
        "the fit had not seen."
    )
