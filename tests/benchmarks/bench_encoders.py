"""bench_encoders.py: encoding speed as a ratio to sentence-transformers' default, same run.

    python tests/benchmarks/bench_encoders.py [--items FILE] [--count N] [--repeats N]

Ratios are of times taken in turns, so that other work on the machine slows both alike.
"""

import argparse
import logging
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from indexes.build.settings import RebuildSettings
from indexes.encoders.model_folders import model_folder
from indexes.encoders.query_encoder import export_query_encoder, load_query_encoder
from indexes.encoders.settings import EncoderSettings
from indexes.encoders.text_encoder import TextEncoder, load_encoder
from indexes.items.records import read_items
from indexes.items.text import ItemText

QUERIES = (
    "red running shoes",
    "usb c charger",
    "27 inch 4k monitor",
    "canon ink pgi-550",
    "moisturizer for dry skin",
)


def main() -> None:
    options = _options()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    texts = _texts(options.items, options.count)
    peer = SentenceTransformer(str(model_folder("minilm")), device="cpu")
    encoder = load_encoder(EncoderSettings())
    encoder.encode_documents(texts[:64])
    tokens = [len(row) for row in peer.tokenizer(texts, truncation=True, max_length=256).input_ids]
    seconds = _in_turns(
        {
            "sentence-transformers": lambda: peer.encode(texts),
            "ours": lambda: encoder.encode_documents(texts),
        },
        options.repeats,
    )
    _report_items(seconds, tokens, encoder)
    _report_one_thread(peer, texts[:150])
    cosines = (encoder.encode_documents(texts) * peer.encode(texts)).sum(axis=1)
    print(f"cosine to float32: least {cosines.min():.4f}, mean {cosines.mean():.5f}")
    _report_queries(peer, encoder)


def _report_items(seconds: dict[str, list[float]], tokens: list[int], encoder: TextEncoder) -> None:
    best = {name: min(took) for name, took in seconds.items()}
    middle = {name: float(np.median(took)) for name, took in seconds.items()}
    for name in seconds:
        print(f"{name:<22} {len(tokens) / best[name]:>6.0f} items/s at best")
    ratios = [a / b for a, b in zip(seconds["sentence-transformers"], seconds["ours"], strict=True)]
    print(
        f"ratio: {best['sentence-transformers'] / best['ours']:.2f} of the best times, "
        f"{np.median(ratios):.2f} the middle one of {len(ratios)} turns "
        f"({encoder.model.arithmetic}, {sum(tokens) / len(tokens):.0f} tokens a text)"
    )
    # MiniLM (d 384, 6 layers): 12 d^2 products a token and layer, and 2 L d in attention.
    work = sum(6 * 2 * length * (12 * 384**2 + 2 * length * 384) for length in tokens) / 1e12
    rate = work / best["ours"]
    peaks = {"bfloat16": _peak_bfloat16(), "8-bit": _peak_int8()}
    shares = ", ".join(f"{rate / peak:.0%} of the {kind} peak" for kind, peak in peaks.items())
    print(f"{sum(tokens) / best['ours']:,.0f} tokens/s, {rate:.3f} TFLOP/s: {shares}")
    print(f"middle times: {middle['sentence-transformers']:.2f} s and {middle['ours']:.2f} s")


def _report_one_thread(peer: SentenceTransformer, texts: list[str]) -> None:
    """Processor time on one thread each: what other work on the machine disturbs least."""
    alone = load_encoder(EncoderSettings(threads=1))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    kinds = {
        "sentence-transformers": lambda: peer.encode(texts),
        "ours": lambda: alone.encode_documents(texts),
    }
    took = {name: min(times) for name, times in _in_turns(kinds, 3, time.process_time).items()}
    torch.set_num_threads(before)
    ratio = took["sentence-transformers"] / took["ours"]
    print(f"ratio: {ratio:.2f} of processor time, one thread each")


def _report_queries(peer: SentenceTransformer, encoder: TextEncoder) -> None:
    with tempfile.TemporaryDirectory() as folder:
        export_query_encoder(encoder, Path(folder))
        one, two = (load_query_encoder(Path(folder), threads) for threads in (1, 2))
    kinds: dict[str, Callable[[list[str]], object]] = {
        "sentence-transformers": peer.encode,
        "ours, 1 thread": one.encode_queries,
        "ours, 2 threads": two.encode_queries,
    }
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(10):  # in turns of 30 queries: alone, each finds its weights in the cache
        for name, encode in kinds.items():
            for number in range(30):
                began = time.perf_counter()
                encode([QUERIES[number % len(QUERIES)]])
                seconds[name].append(time.perf_counter() - began)
    for name, took in seconds.items():
        middle, late = np.percentile(took, [50, 99]) * 1000
        print(f"one query, {name:<22} p50 {middle:.2f} ms, p99 {late:.2f} ms")


def _in_turns(
    kinds: Mapping[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(repeats):
        for name, run in kinds.items():
            began = clock()
            run()
            seconds[name].append(clock() - began)
    return seconds


def _peak_bfloat16() -> float:
    a, b = torch.randn(2048, 2048).bfloat16(), torch.randn(2048, 2048).bfloat16()
    return _peak(lambda: torch.mm(a, b))


def _peak_int8() -> float:
    a = torch.randint(-127, 127, (2048, 2048), dtype=torch.int8)
    return _peak(lambda: torch._int_mm(a, a))


def _peak(product: Callable[[], object]) -> float:
    seconds = _in_turns({"": product}, 20)[""]
    return 2 * 2048**3 / min(seconds) / 1e12


def _texts(items: Path | None, count: int) -> list[str]:
    if items is None:
        return _made_up(count)
    render = ItemText(RebuildSettings().template).render
    texts = [render(item) for _line, item in read_items(items, lambda _bad: None)]
    return random.Random(0).sample(texts, min(count, len(texts)))


def _made_up(count: int) -> list[str]:
    """Texts as long as a shop's: a few to a few hundred words."""
    chance = random.Random(0)
    words = (
        "wireless black leather 4k gaming laptop stand cable 15.6 inch steel cotton women's pack "
        "of professional printer toner cartridge hp lj-2055 with adjustable the and for battery"
    ).split()
    lengths = (int(min(230, max(4, chance.lognormvariate(3.2, 0.8)))) for _ in range(count))
    return [" ".join(chance.choices(words, k=length)) for length in lengths]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Encoding speed against sentence-transformers.")
    parser.add_argument("--items", type=Path, help="a catalogue; default: made-up texts")
    parser.add_argument("--count", type=int, default=400, help="texts to encode")
    parser.add_argument("--repeats", type=int, default=3, help="turns")
    return parser.parse_args()


if __name__ == "__main__":
    main()
