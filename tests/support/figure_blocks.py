"""figure_blocks.py: the figures of docs/figures.json -> the blocks of the pages that show them."""

from collections.abc import Callable
from typing import TypedDict


class Figure(TypedDict):
    """Values of one measurement, each one number or the lowest and the highest, and its day."""

    date: str
    values: dict[str, list[float]]


Figures = dict[str, Figure]


def said(figures: Figures, name: str, value: str, form: str = "{:g}") -> str:
    """`4.6 to 5.5`, or `4.6` where only one was measured."""
    return " to ".join(form.format(number) for number in figures[name]["values"][value])


def ratio(figures: Figures, name: str, peer: str, ours: str) -> str:
    """How many times the peer's time ours is."""
    values = figures[name]["values"]
    least, most = min(values[peer]) / max(values[ours]), max(values[peer]) / min(values[ours])
    texts = dict.fromkeys(f"{n:,.0f}" if n >= 10 else f"{n:.1f}" for n in (least, most))
    return " to ".join(texts) + "x"


def _quality_row(figures: Figures, name: str, what: str) -> str:
    value = {key: min(many) for key, many in figures[name]["values"].items()}
    gain = f"+{value['mean']:.3f} ({value['low']:.3f} .. {value['high']:.3f})"
    return (
        f"| {what} | {value['queries']:,.0f} | {value['engine']:.3f} | {value['blend']:.3f} | "
        f"{gain} | {value['mean'] / value['engine']:+.0%} | {figures[name]['date']} |"
    )


def quality(figures: Figures) -> str:
    """NDCG@10 of the engine and the blend on judged searches."""
    return "\n".join(
        (
            "| judged searches | queries | engine | reranker | difference | | measured |",
            "|---|---|---|---|---|---|---|",
            _quality_row(figures, "icecat", "Icecat's open catalogue (Chorus), nothing trained"),
            _quality_row(figures, "crowdflower", "CrowdFlower, several shops, nothing trained"),
            _quality_row(figures, "demo_default", "the demo shop, nothing trained"),
            _quality_row(figures, "demo_counts", "the demo shop, shoppers' events counted"),
            _quality_row(figures, "beauty", "Amazon Beauty, category words, after `train`"),
        )
    )


def speed(figures: Figures) -> str:
    """What is fast, against what one would use instead."""
    peers = [
        f"{ratio(figures, 'peers', 'multiply_ms', ours)} encode-and-multiply, "
        f"{ratio(figures, 'peers', 'cross_ms', ours)} a cross-encoder"
        for ours in ("seen_ms", "unseen_ms")
    ]
    query = ratio(figures, "encoders", "query_peer_ms", "query_ms")
    catalogue = said(figures, "encoders", "processor")
    ready, own = (said(figures, "million", name) for name in ("ready_s", "own_mib"))
    hundred, thousand = (said(figures, "serving", name) for name in ("hundred", "thousand"))
    rows = (
        ("encoding a catalogue", f"{catalogue}x `SentenceTransformer.encode`", "encoders"),
        ("encoding a query not seen before", f"{query} sentence-transformers", "encoders"),
        ("ranking 100 candidates, every signal, 50 events, a query seen before", peers[0], "peers"),
        ("the same, a query not seen before", peers[1], "peers"),
        ("a worker on 1,000,000 items", f"ready {ready} s after imports, {own} MiB own", "million"),
        (
            "`/rerank`, 100 / 1,000 candidates, against an empty Flask GET's requests/s",
            f"{hundred} / {thousand}; short of what we want",
            "serving",
        ),
        ("100 vectors by id", f"{said(figures, 'index', 'hundred_ms')} ms", "index"),
    )
    options = {"serving": " --home var/demo"}
    head = ("| what | measured | command | on |", "|---|---|---|---|")
    lines = (
        f"| {what} | {value} | `.venv/bin/python tests/benchmarks/bench_{name}.py"
        f"{options.get(name, '')}` | {figures[name]['date']} |"
        for what, value, name in rows
    )
    return "\n".join((*head, *lines))


def serving(figures: Figures) -> str:
    """The share of an empty GET's requests, on the page about speed."""
    return "\n".join(
        (
            "| candidates | requests/s as a share of the empty GET's | asked |",
            "|---|---|---|",
            f"| 100 | {said(figures, 'serving', 'hundred')} | 0.30 |",
            f"| 1,000 | {said(figures, 'serving', 'thousand')} | 0.10 |",
        )
    )


def million(figures: Figures) -> str:
    """Workers on a small and a large catalogue."""

    def row(items: str, prefix: str) -> str:
        ready, own, p50, p99, size = (
            said(figures, "million", prefix + name)
            for name in ("ready_s", "own_mib", "p50_ms", "p99_ms", "bytes")
        )
        return f"| {items} | {ready} s | {own} MiB | {p50} / {p99} ms | {size} |"

    return "\n".join(
        (
            "| items | ready after the imports | own memory of a worker "
            "| 100 candidates, p50 / p99 | bytes an item on the disk |",
            "|---|---|---|---|---|",
            row("10,000", "small_"),
            row("1,000,000", ""),
        )
    )


def demo(figures: Figures) -> str:
    """How much of the possible gain each ranking of the demo shop gets."""

    def share(name: str) -> str:
        value = {key: min(many) for key, many in figures[name]["values"].items()}
        return f"{value['blend']:.2f} | {value['mean'] / (1 - value['engine']):.0%}"

    engine = min(figures["demo_default"]["values"]["engine"])
    return "\n".join(
        (
            "| ranking | NDCG@10 | share |",
            "|---|---|---|",
            "| any order, shuffled | 0.16 | |",
            f"| the engine's (BM25) | {engine:.2f} | 0% |",
            f"| `default`, nothing trained: engine, text, words, stock | {share('demo_default')} |",
            f"| that, and what shoppers did, counted | {share('demo_counts')} |",
            "| perfect relevance and availability, no taste | 0.73 | 47% |",
            "| that, and how well made each item is | 0.81 | 63% |",
            "| the best possible | 1.00 | 100% |",
        )
    )


BLOCKS: dict[str, dict[str, Callable[[Figures], str]]] = {
    "README.md": {"quality": quality, "speed": speed},
    "docs/speed.md": {"serving": serving, "million": million},
    "docs/demo-shop.md": {"demo": demo},
}
