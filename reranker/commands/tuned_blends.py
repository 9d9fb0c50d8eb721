"""tuned_blends.py: a tuning and its blend -> a stored version, recommended or not."""

from collections.abc import Iterable

import msgspec

from reranker.blends.blend import Blend
from reranker.evaluation.fitted_requests import fingerprint
from reranker.ranking.state import ServedState
from reranker.requests import JudgedRequest
from reranker.tuning.tune import Tuning


def save_tuned(
    state: ServedState,
    blend: Blend,
    tuning: Tuning,
    requests: Iterable[JudgedRequest],
    name: str,
    author: str,
    note: str,
) -> str:
    """Store the blend, not published; its `name@version`."""
    difference = tuning.difference[tuning.metric]
    said = (
        f"tuned ({tuning.chosen}): {tuning.metric} {difference.mean:+.4f} against "
        f"{tuning.compared_with} on {tuning.held_out} queries held out"
    )
    named = msgspec.structs.replace(
        blend, name=name, author=author, note=note or said, version=None
    )
    names = state.keys.open()
    facts = {
        "recommended": tuning.recommended,
        "tuned": msgspec.to_builtins(tuning),
        "fitted_on": sorted({fingerprint(one, names) for one in requests}),
    }
    stored, number = state.store.save(named, who=author, about=facts)
    return f"{stored.name}@{number}"
