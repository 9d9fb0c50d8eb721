"""cross_shop.py: the default weights as other shops would choose them; what each signal adds.

    python tests/benchmarks/cross_shop.py NAME=HOME:REQUESTS[:JUDGMENTS] NAME=HOME:REQUESTS ...

Each shop is left out in turn: the weights are chosen on all the others, from a grid around the
shipped ones, and reported on the one that had no say. Chosen is what gains most over the engine in
the mean over the shops, each shop counting the same, smoothed over the neighbours in the grid: a
plateau, not a peak. Nothing personal or learned counts; guard rails do not either. Then what each
shop loses without one of the signals. Intervals are paired bootstraps over the queries, 95 %.
"""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from indexes.storage.arrays import Floats, Values
from indexes.workspace import Workspace
from reranker.blends.blend import DEFAULT
from reranker.evaluation.judgments import read_judgments
from reranker.evaluation.requests import read_requests
from reranker.evaluation.tables import interval_of, table
from reranker.metrics.intervals import Difference, paired_differences
from reranker.metrics.ranking import gains
from reranker.ranking.scoring import trust_of
from reranker.ranking.state import load_state
from reranker.signals.columns import Column, normalised
from reranker.tuning.columns import JudgedColumns, judged_columns

GRID: Final = {
    "semantic": (0.5, 1.0, 1.5, 2.0, 3.0),
    "typical": (0.0, 0.5, 0.75, 1.0, 1.5),
    "match": (0.0, 0.25, 0.5, 0.75, 1.0),
    "coverage": (0.0, 0.5, 1.0, 1.5, 2.0, 3.0),
}
CHOICES: Final = tuple(itertools.product(*GRID.values()))
FIRST: Final = 10
DISCOUNTS: Final = 1.0 / np.log2(np.arange(2, FIRST + 2))


@dataclass(frozen=True, eq=False)
class Shop:
    """Judged requests of one shop, with the signals of the default blend."""

    name: str
    requests: list[JudgedColumns]

    @cached_property
    def chosen(self) -> Floats:
        """NDCG@10 (requests, choices) by the weights of each choice."""
        weights = np.array([list(weights_with(choice).values()) for choice in CHOICES])
        return self.worth(weights)

    def worth(self, weights: Floats) -> Floats:
        """NDCG@10 (requests, blends) of each request by weights (blends, signals)."""
        return np.array([ndcg_of_each(judged, weights) for judged in self.requests])

    def of(self, weights: dict[str, float]) -> Values:
        """NDCG@10 (requests,) by these weights."""
        return self.worth(np.array([list(weights.values())]))[:, 0]

    @cached_property
    def engine(self) -> Values:
        """The same of the engine's order."""
        return self.of({name: float(name == "engine") for name in SHIPPED})


SHIPPED: Final = {name: part.weight for name, part in DEFAULT.signals.items()}


def weights_with(choice: Sequence[float]) -> dict[str, float]:
    """The shipped weights with those of a choice in their places."""
    return SHIPPED | dict(zip(GRID, choice, strict=True))


def ndcg_of_each(judged: JudgedColumns, weights: Floats) -> Values:
    """NDCG@10 (blends,) of one request."""
    values = np.zeros((len(judged.grades), len(DEFAULT.signals)))
    for place, (name, part) in enumerate(DEFAULT.signals.items()):
        column = judged.columns.get(name)
        if isinstance(column, Column):
            values[:, place] = normalised(column, part.normalise) * trust_of(column)
    order = np.argsort(-(values @ weights.T), axis=0, kind="stable")[:FIRST]
    ideal = np.sort(gains(judged.ratings))[::-1][:FIRST]
    found = gains(judged.grades)[order]
    worth = DISCOUNTS[: len(order)] @ found / float(DISCOUNTS[: len(ideal)] @ ideal)
    return np.asarray(worth)


def plateau(shops: Sequence[Shop]) -> dict[str, float]:
    """The weights that these shops choose together."""
    gain = np.mean([(shop.chosen - shop.engine[:, None]).mean(axis=0) for shop in shops], axis=0)
    shape = tuple(map(len, GRID.values()))
    smooth = gain.reshape(shape)
    for axis in range(len(shape)):
        smooth = _beside(smooth, axis)
    return weights_with(CHOICES[int(smooth.argmax())])


def _beside(values: Floats, axis: int) -> Floats:
    """The mean with both neighbours along an axis; at an end the value stands in for one."""
    padded = np.pad(values, [(int(axis == k),) * 2 for k in range(values.ndim)], "edge")
    n = values.shape[axis]
    parts = [np.take(padded, range(start, start + n), axis) for start in range(3)]
    return np.asarray(np.mean(parts, axis=0))


def difference(shop: Shop, one: Values, other: Values) -> Difference:
    """Mean difference with its interval; requests of one shopper or query stay together."""
    units = [judged.unit for judged in shop.requests]
    return paired_differences((one - other)[:, None], units, 2_000)[0]


def left_out(shops: Sequence[Shop]) -> Iterator[list[str]]:
    """Of each shop: how the weights do that the others chose."""
    yield [
        "left out",
        "queries",
        *GRID,
        "engine",
        "shipped",
        "chosen",
        "chosen - engine",
        "- shipped",
    ]
    for shop in shops:
        weights = plateau([other for other in shops if other is not shop])
        chosen, shipped = shop.of(weights), shop.of(SHIPPED)
        yield [
            shop.name,
            str(len(chosen)),
            *(f"{weights[name]:g}" for name in GRID),
            *(f"{values.mean():.4f}" for values in (shop.engine, shipped, chosen)),
            *(_shown(difference(shop, chosen, other)) for other in (shop.engine, shipped)),
        ]


def without_one(shops: Sequence[Shop]) -> Iterator[list[str]]:
    """What each signal of the shipped blend adds in each shop."""
    yield ["adds", *(shop.name for shop in shops)]
    for name in (name for name, weight in SHIPPED.items() if weight and name != "engine"):
        less = SHIPPED | {name: 0.0}
        yield [name, *(_shown(difference(shop, shop.of(SHIPPED), shop.of(less))) for shop in shops)]


def _shown(apart: Difference) -> str:
    return f"{apart.mean:+.4f} ({interval_of(apart)})"


def shop_of(argument: str, most: int) -> Shop:
    """NAME=HOME:REQUESTS[:JUDGMENTS]."""
    name, _, rest = argument.partition("=")
    home, requests, *judgments = rest.split(":")
    read = list(read_requests(Path(requests), _passed_over))
    step = max(1, len(read) // most)
    judged = [
        msgspec.structs.replace(one, history=None, user=None, session=None) for one in read[::step]
    ]
    if judgments:
        judged = list(read_judgments(Path(judgments[0]), _passed_over).rated(judged))
    columns, _ = judged_columns(judged, load_state(Workspace(Path(home))), DEFAULT.signals)
    return Shop(name, columns)


def _passed_over(bad: object) -> None:
    """`reranker evaluate` shows them."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shops", nargs="+", metavar="NAME=HOME:REQUESTS[:JUDGMENTS]")
    parser.add_argument("--most", type=int, default=700, help="requests of a shop, evenly spread")
    args = parser.parse_args()
    if len(args.shops) < 2:
        parser.error("two shops at least: one is left out, the others choose")
    shops = [shop_of(argument, args.most) for argument in args.shops]
    print("\n".join([*table(list(left_out(shops))), "", *table(list(without_one(shops))), ""]))
    every = plateau(shops)
    print("all shops together:", {name: every[name] for name in GRID})
    print("shipped:           ", {name: SHIPPED[name] for name in GRID})


if __name__ == "__main__":
    main()
