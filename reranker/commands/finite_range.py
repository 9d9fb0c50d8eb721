"""finite_range.py: an option's number -> the same within its range, never nan or inf."""

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """click's own lets nan into every range, since it is below and above nothing."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{str(value)[:40]!r} is no finite number.", param, ctx)
        return number
