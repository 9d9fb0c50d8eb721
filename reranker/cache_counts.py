"""cache_counts.py: looks into a cache -> how many found something, how many did not."""


class CacheCounts:
    """Counted by the cache, under its lock; read by whoever wants to know."""

    __slots__ = ("hits", "misses")

    def __init__(self) -> None:
        self.hits = self.misses = 0
