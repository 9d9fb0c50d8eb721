"""showcase.py: what the demo measured -> the tables that a newcomer reads first."""

import shlex
from pathlib import Path
from textwrap import wrap
from typing import Final
from urllib.parse import urlencode

import msgspec

from indexes.storage.durable import write_whole
from reranker.evaluation.report import verdict
from reranker.evaluation.requests import rerank_request
from reranker.ranking.ranking import Ranked, rerank
from reranker.ranking.state import ServedState
from reranker.requests import JudgedRequest
from reranker.signals.registry import SIGNALS
from service.demo.measure import METRIC, Measured
from service.demo.reasons import Reasons
from service.demo.season.oracle import Share
from service.page.parts.cases import OWN
from service.page.parts.request_sets import DEMO, ITEMS
from service.page.parts.shop_engine import read_lines

_BELOW: Final = " " * 33  # under the title
_WIDTH = 98
_TOP = 5
_PASTED = 3
_SEGMENTS = {
    "all": "all",
    "0": "no history",
    "1": "1 event",
    "2-4": "2 to 4 events",
    "5+": "5 events and more",
}


class _Title(msgspec.Struct):
    """The part of an item that the tables show."""

    id: str
    title: str


def summary_table(measured: Measured) -> str:
    """Engine, blend and the best possible order, over all searches and by length of history."""
    head = f"{METRIC.upper():<20}{'searches':>9}{'engine':>9}{measured.blend:>10}{'possible':>10}"
    difference = measured.evaluation.difference[METRIC]
    return "\n".join(
        (
            f"{head}   share of the possible gain",
            *(_share_row(share) for share in measured.shares),
            "",
            verdict(measured.blend, "engine", difference),
            "What is left is mostly taste (brand, look, price): longer histories, and training.",
        )
    )


def _share_row(share: Share) -> str:
    numbers = f"{share.engine:>9.3f}{share.blend:>10.3f}{share.oracle:>10.3f}"
    got = "" if share.share is None else f"{share.share:>7.1%}  {_bar(share.share)}"
    return f"{_SEGMENTS[share.segment]:<20}{share.requests:>9,}{numbers}   {got}".rstrip()


def _bar(share: float, width: int = 20) -> str:
    filled = round(max(0.0, min(1.0, share)) * width)
    return "#" * filled + "." * (width - filled)


def before_and_after(measured: Measured, state: ServedState, data: Path) -> str:
    """One search as the engine answers it and as this shopper gets it, and why, in words."""
    shown, who = measured.shown, _who(measured.shown)
    titles = {item.id: item.title for item in read_lines(data / ITEMS, _Title)}
    asked = msgspec.structs.replace(rerank_request(shown), explain=True)
    first = rerank(asked, state).results[:_TOP]
    reasons = Reasons(state.index, shown.history or ())
    lines = [line for result in first for line in _after(result, shown, titles, reasons)]
    return "\n".join(
        (
            f'One shopper, one search: {who} asks for "{shown.query}" ({measured.truth.intent}).',
            "",
            f"before: the engine's order, for everybody (*** is what {who} wants most)",
            *_before(shown, titles),
            "",
            f"after: the same candidates for {who}: what counts for all, and their history",
            f"{'':<8}{'was':>4}{'everybody':>11}{'own':>8}{'score':>8}",
            *lines,
            "",
            *_choice(measured),
        )
    )


def _who(shown: JudgedRequest) -> str:
    return shown.user or "a visitor"


def _choice(measured: Measured) -> list[str]:
    """By which rule this search was chosen, and what histories do to all the others."""
    helped = measured.helped
    first = "It was chosen as the search that its shopper's history helps most (NDCG@10)"
    if helped.explained:
        rule = [
            f"{first} of the {helped.explained}",
            "whose first item is new to the shopper, but of a brand and shelf that they know well.",
        ]
    else:
        rule = [f"{first},", "of those where the list shows why."]
    return [
        *rule,
        f"Own histories of three events and more, {helped.searches:,} searches: {helped.better:,} "
        f"better, {helped.worse:,} worse, {helped.mean:+.3f} on average.",
    ]


def _before(shown: JudgedRequest, titles: dict[str, str]) -> list[str]:
    return [
        f"{place + 1:>3} {_stars(shown, candidate.id)} {_cut(titles[candidate.id], _WIDTH - 8)}"
        for place, candidate in enumerate(shown.candidates[:_TOP])
    ]


def _after(
    result: Ranked, shown: JudgedRequest, titles: dict[str, str], reasons: Reasons
) -> list[str]:
    """The item with its arithmetic, and below it why it is here for this shopper."""
    parts = result.explanation.contributions if result.explanation else {}
    own = sum(amount for name, amount in parts.items() if SIGNALS[name].personal)
    line = f"{result.rank:>3} {_stars(shown, result.id)} {result.index + 1:>4}"
    line += f"{result.score - own:>11.3f}{own:>+8.3f}{result.score:>8.3f}  "
    why = reasons.of(result.id)
    return [
        line + _cut(titles[result.id], _WIDTH - len(line)),
        *wrap(why, _WIDTH, initial_indent=_BELOW, subsequent_indent=_BELOW),
    ]


def _stars(shown: JudgedRequest, item: str) -> str:
    return ("*" * int(shown.ratings.get(item, 0)) or "-").ljust(3)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."


def write_curl(data: Path, shown: JudgedRequest) -> Path:
    """The body of the shown search, as a search backend would send it."""
    asked = msgspec.structs.replace(rerank_request(shown), explain=True, top_n=_TOP)
    path = data / "curl.json"
    write_whole(path, msgspec.json.format(msgspec.json.encode(asked)) + b"\n")
    return path


def banner(
    url: str, measured: Measured, state: ServedState, body: Path, minutes: float | None
) -> str:
    """What is said once the demo answers: something to paste, what goes on, and the page, last.

    minutes: of the training beside it; None where a model good enough is served already.
    """
    return "\n".join(
        (
            "The demo shop answers; Ctrl-C ends it. Three candidates of that search:",
            f"  curl -s {url}/rerank \\",
            f"    -d {shlex.quote(_pasted(measured.shown, state))}",
            "The whole search, with the arithmetic of each score:",
            f"  curl -s {url}/rerank -d @{shlex.quote(str(body))}",
            "The same on the page, with its sliders and the shopper's history:",
            f"  {url}/?{_on_the_page(measured.shown)}",
            *_model_note(measured, state, minutes),
            "",
            f"page  {url}/",
            "",
        )
    )


def _pasted(shown: JudgedRequest, state: ServedState) -> str:
    """The body of a short request: the engine's first item, and the shopper's first two."""
    ranking = rerank(rerank_request(shown), state)
    first = [shown.candidates[0].id, *(result.id for result in ranking.results)]
    chosen = set(list(dict.fromkeys(first))[:_PASTED])
    asked = {
        "query": shown.query,
        **({"user": shown.user} if shown.user else {"session": shown.session}),
        "candidates": [
            {"id": candidate.id, "score": candidate.score}
            for candidate in shown.candidates
            if candidate.id in chosen
        ],
    }
    return msgspec.json.encode(asked).decode()


def _on_the_page(shown: JudgedRequest) -> str:
    """The search and its own shopper, as the page's address has them."""
    return urlencode({"set": DEMO, "req": shown.id, "user": OWN}, safe="/")


def _model_note(measured: Measured, state: ServedState, minutes: float | None) -> list[str]:
    if minutes is None:
        return [
            f"Model {state.versions['model']} is served: {measured.quality:.3f}, and "
            f"{measured.with_counts_alone:.3f} with counts alone."
        ]
    return [
        "A model of what these shoppers do next is trained beside it "
        f"({minutes:g} min at most), then served;",
        "what it changed is said here.",
    ]
