"""logged_searches.py: held-out searches and logged rankings -> what each search showed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from indexes.items.words import folded
from reranker.feedback.days import logged_days
from reranker.feedback.records import LoggedRanking, read_rankings
from reranker.model.card import NONE
from reranker.training.held_out import HeldOut
from reranker.training.sequences import Sequences

APART: Final = 60.0  # seconds between a search as an event and the ranking that answered it


def logged_searches(
    folder: Path, sequences: Sequences, moments: HeldOut, sessions: Mapping[str, str]
) -> dict[int, LoggedRanking]:
    """By the number of its moment, the ranking that its shopper then got for these very words;
    the nearest in time, where there are several. Lines that are no ranking are passed over.

    folder: of the log; it may be missing. sessions: those of users, and whose, as sequences name
    them. Memory grows with the moments, not with the log.
    """
    wanted: dict[tuple[str, str], list[int]] = {}
    for number, begin in enumerate(moments.begins.tolist()):
        if (typed := int(sequences.queries[begin])) != NONE:
            who = sequences.shoppers[moments.shoppers[number]]
            wanted.setdefault((who, folded(sequences.query_texts[typed])), []).append(number)
    nearest: dict[int, tuple[float, LoggedRanking]] = {}
    files = [path for _, path in logged_days(folder)] if wanted else []
    for ranking in read_rankings(files, lambda _line: None):
        if (who := shopper_of(ranking, sessions)) is None:
            continue
        for number in wanted.get((who, folded(ranking.query)), ()):
            apart = abs(ranking.at - float(sequences.times[moments.begins[number]]))
            if apart <= APART and (number not in nearest or apart < nearest[number][0]):
                nearest[number] = apart, ranking
    return {number: ranking for number, (_, ranking) in nearest.items()}


def shopper_of(ranking: LoggedRanking, sessions: Mapping[str, str]) -> str | None:
    """Whose it is, as sequences name them; None where nobody is named."""
    if ranking.user:
        return f"u {ranking.user}"
    return sessions.get(ranking.session, f"s {ranking.session}") if ranking.session else None
