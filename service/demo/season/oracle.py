"""oracle.py: the hidden truth of the demo's requests -> the share of the possible gain."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from indexes.errors import Failure
from service.page.parts.shop_engine import read_lines

SEGMENTS = ("0", "1", "2-4", "5+")


class Truth(msgspec.Struct, frozen=True):
    """One line of oracle.jsonl.gz: what nobody could know who was not there when it was made."""

    id: str  # the request's id
    history: int  # events of this shopper before the request
    intent: str  # the kind of item that was meant
    wants: dict[str, str]  # details that the query asked for
    likes: list[str]  # the dearest brands of that department, then the dearest looks
    ranking: list[str]  # all candidates, best first: no ranking can do better
    utility: dict[str, float]  # 0 to 1 by item id; 0 is left out


class Share(msgspec.Struct, frozen=True):
    """Mean metrics over some requests, and how much of the possible gain the blend got."""

    segment: str
    requests: int
    engine: float
    blend: float
    oracle: float
    share: float | None


def share_of_possible_gain(engine: float, blend: float, oracle: float) -> float | None:
    """(blend - engine) / (oracle - engine); None where the engine cannot be bettered."""
    return (blend - engine) / (oracle - engine) if oracle > engine else None


def segment_of(history: int) -> str:
    if history >= 5:
        return "5+"
    return "2-4" if history >= 2 else str(history)


def read_oracle(path: Path) -> dict[str, Truth]:
    try:
        return {truth.id: truth for truth in read_lines(path, Truth)}
    except (OSError, msgspec.MsgspecError) as error:
        hint = "Run `reranker demo`, which writes it."
        raise Failure(f"cannot read the demo's oracle {path}: {error}.", hint=hint) from error


def gain_report(
    truths: Mapping[str, Truth],
    engine: Mapping[str, float],
    blend: Mapping[str, float],
    oracle: Mapping[str, float],
) -> list[Share]:
    """One row for all requests, then one for each history length; metrics are by request id.

    A request that one of the metrics lacks (it was left out of the evaluation) is left out here.
    """
    known = [name for name in truths if name in engine and name in blend and name in oracle]
    groups = {"all": known}
    for segment in SEGMENTS:
        groups[segment] = [name for name in known if segment_of(truths[name].history) == segment]
    return [
        _share(segment, names, engine, blend, oracle) for segment, names in groups.items() if names
    ]


def _share(
    segment: str,
    names: Sequence[str],
    engine: Mapping[str, float],
    blend: Mapping[str, float],
    oracle: Mapping[str, float],
) -> Share:
    before, after, best = (
        sum(metric[name] for name in names) / len(names) for metric in (engine, blend, oracle)
    )
    share = share_of_possible_gain(before, after, best)
    return Share(segment, len(names), before, after, best, share)
