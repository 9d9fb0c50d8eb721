"""splits.py: judged columns -> the parts that blends are fitted on, and those that judge.

Requests of one shopper (else of one query text) stay together: what is held out is new to a blend.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from indexes.errors import Failure
from indexes.storage.arrays import Ints
from reranker.times import seconds_of
from reranker.tuning.columns import JudgedColumns

Split = Literal["auto", "unit", "time"]
FEWEST: Final = 20  # units below which nothing can be held out
_FOLDS: Final = ((400, 5), (1500, 3))  # up to so many units: so many folds
_TEST_SHARE: Final = 1 / 3  # of the units, where there are more
_INNER: Final = 4
_SEED: Final = 20_261_124


@dataclass(frozen=True)
class Fold:
    """Numbers of the requests that a blend may see, and of those that it is judged on."""

    train: Ints
    test: Ints


def outer_folds(requests: Sequence[JudgedColumns], split: Split) -> list[Fold]:
    """What the report stands on: with few units each is held out once, else one third of them."""
    units = _units(requests)
    if len(set(units)) < FEWEST:
        raise Failure(
            f"There are {len(set(units))} shoppers or queries; tuning needs at least {FEWEST} to "
            "hold some of them out.",
            field="requests",
            hint="Judge more queries.",
        )
    if split == "time" or (split == "auto" and _is_a_log(requests, units)):
        fold = _by_time(requests)
        if len(fold.train) and len(fold.test):
            return [fold]
        if split == "time":
            raise Failure(
                "--split time needs requests of different times; a third of them has to come last.",
                field="split",
                hint="Use --split unit.",
            )
    return _folds(units, next((k for most, k in _FOLDS if len(set(units)) <= most), 1))


def inner_folds(requests: Sequence[JudgedColumns], among: Ints) -> list[Fold]:
    """The same within a training part, for choosing how much to fit; numbers of all requests."""
    units = _units([requests[number] for number in among.tolist()])
    if len(set(units)) < _INNER:  # one shopper's log: its requests are all there is
        units = [str(number) for number in among.tolist()]
    folds = _folds(units, _INNER if len(set(units)) <= _FOLDS[0][0] else 1, share=0.25)
    folds = [fold for fold in folds if len(fold.train) and len(fold.test)]
    return [Fold(among[fold.train], among[fold.test]) for fold in folds]


def _folds(units: list[str], count: int, share: float = _TEST_SHARE) -> list[Fold]:
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    order = np.random.default_rng(_SEED).permutation(len(numbers))
    if count == 1:
        order = np.where(order < max(1, round(len(order) * share)), 0, 1)
    else:
        order = order % count
    of_request = order[[numbers[unit] for unit in units]]
    return [
        Fold(np.flatnonzero(of_request != fold), np.flatnonzero(of_request == fold))
        for fold in range(count)
    ]


def _units(requests: Sequence[JudgedColumns]) -> list[str]:
    return [judged.unit for judged in requests]


def _is_a_log(requests: Sequence[JudgedColumns], units: list[str]) -> bool:
    """Every request has a time, and shoppers come again: then the past can foretell the future."""
    timed = all(judged.request.time is not None for judged in requests)
    return timed and len(set(units)) < 0.8 * len(units)


def _by_time(requests: Sequence[JudgedColumns]) -> Fold:
    if any(judged.request.time is None for judged in requests):
        raise Failure(
            "--split time needs a time in every request.", field="split", hint="Use --split unit."
        )
    times = np.array([seconds_of(judged.request.time or 0.0) for judged in requests])
    cut = np.quantile(times, 1 - _TEST_SHARE)
    return Fold(np.flatnonzero(times < cut), np.flatnonzero(times >= cut))
