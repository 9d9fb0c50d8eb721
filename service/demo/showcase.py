"""showcase.py: what the demo measured -> the tables that a newcomer reads first."""

import shlex
from pathlib import Path

import msgspec

from indexes.storage.durable import write_whole
from reranker.evaluation.report import verdict
from reranker.evaluation.requests import rerank_request
from reranker.ranking.ranking import Ranked, rerank
from reranker.ranking.state import ServedState
from reranker.requests import JudgedRequest
from service.demo.measure import METRIC, Measured
from service.demo.season.oracle import Share, Truth
from service.demo.training import MINUTES
from service.page.parts.engine import read_lines
from service.page.parts.request_sets import ITEMS

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
            "What is left is mostly taste (brand, look, price): only a shopper's history tells it.",
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
    """One search as the engine answered it and as the blend does, with each score's arithmetic."""
    shown = measured.shown
    titles = {item.id: item.title for item in read_lines(data / ITEMS, _Title)}
    asked = msgspec.structs.replace(rerank_request(shown), explain=True)
    ranking = rerank(asked, state)
    signals = _signals(ranking.results)
    return "\n".join(
        (
            f'One search: "{shown.query}". Meant: {measured.truth.intent}.',
            f"The shopper likes {_likes(measured.truth)}, which the blend does not know.",
            "",
            "before: the engine's order (*** is what this shopper wants most)",
            *_before(shown, titles),
            "",
            "after: each score is the sum of what the signals say",
            f"{'':<8}{'was':>4}{''.join(_column(name, name) for name in signals)}{'score':>8}",
            *(_after(result, shown, titles, signals) for result in ranking.results[:_TOP]),
        )
    )


def _before(shown: JudgedRequest, titles: dict[str, str]) -> list[str]:
    return [
        f"{place + 1:>3} {_stars(shown, candidate.id)} {_cut(titles[candidate.id], _WIDTH - 8)}"
        for place, candidate in enumerate(shown.candidates[:_TOP])
    ]


def _signals(results: list[Ranked]) -> list[str]:
    """The signals that moved anything, in the blend's order."""
    explained = [result.explanation.contributions for result in results if result.explanation]
    names = explained[0] if explained else ()
    return [name for name in names if any(contributions[name] for contributions in explained)]


def _after(result: Ranked, shown: JudgedRequest, titles: dict[str, str], signals: list[str]) -> str:
    parts = result.explanation.contributions if result.explanation else {}
    numbers = "".join(_column(name, f"{parts.get(name, 0.0):+.3f}") for name in signals)
    line = f"{result.rank:>3} {_stars(shown, result.id)} {result.index + 1:>4}{numbers}"
    line += f"{result.score:>8.3f}  "
    return line + _cut(titles[result.id], _WIDTH - len(line))


def _column(name: str, text: str) -> str:
    return text.rjust(max(len(name) + 1, 8))


def _likes(truth: Truth) -> str:
    *brands, look, _ = truth.likes
    return f"{', '.join(brands[:2])} and a {look} look"


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


def banner(url: str, state: ServedState, shown: JudgedRequest, body: Path) -> str:
    """What is said once the demo answers: something to paste first, then the whole search."""
    ranking = rerank(rerank_request(shown), state)
    first = [shown.candidates[0].id, *(result.id for result in ranking.results)]
    chosen = set(list(dict.fromkeys(first))[:_PASTED])
    candidates = [{"id": candidate.id} for candidate in shown.candidates if candidate.id in chosen]
    short = msgspec.json.encode({"query": shown.query, "candidates": candidates}).decode()
    return "\n".join(
        (
            f"The demo shop answers on {url} (Ctrl-C ends it). Three candidates of that search:",
            f"  curl -s {url}/rerank \\",
            f"    -d {shlex.quote(short)}",
            "The whole search, with the arithmetic of each score:",
            f"  curl -s {url}/rerank -d @{shlex.quote(str(body))}",
        )
    )


def training_note(log: Path) -> str:
    """That a model is on its way, and what will be seen of it."""
    return "\n".join(
        (
            f"A model of what these shoppers do is trained beside it for {MINUTES} minutes",
            f"({log}). Then the same search counts its shopper's own",
            "history, too: behaviour, repeat, together, near and taste are in the arithmetic.",
        )
    )
