"""draw.py: one seed -> picks that are the same on every machine."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Draw:
    """Cheap single draws: numpy's generator is asked for many numbers at a time."""

    def __init__(self, rng: np.random.Generator, block: int = 65_536) -> None:
        self._rng = rng
        self._block = block
        self._numbers: list[float] = []

    def uniform(self) -> float:
        if not self._numbers:
            self._numbers = self._rng.random(self._block).tolist()
        return self._numbers.pop()

    def chance(self, share: float) -> bool:
        return self.uniform() < share

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.uniform() * len(options))]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """Different ones, in drawn order; all of them where there are fewer."""
        left = list(options)
        return [left.pop(int(self.uniform() * len(left))) for _ in range(min(count, len(left)))]


def streams(seed: int, count: int) -> list[np.random.Generator]:
    """Independent generators, so that a change in one part leaves the others' numbers alone."""
    children = np.random.SeedSequence(seed).spawn(count)
    return [np.random.Generator(np.random.PCG64(child)) for child in children]
