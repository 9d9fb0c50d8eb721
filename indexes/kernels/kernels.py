"""kernels.py: the loops of a ranking that this installation has: compiled, else numpy's."""

try:
    from indexes.kernels.compiled_kernels import (
        added_up,
        amounts,
        counted,
        decoded,
        dots,
        even_worth,
        is_finite,
        may_be,
        mean_shares,
        nearnesses,
        price_nearness,
        rows_met,
        shares,
        weighed_sum,
    )
except ImportError:  # no compiler when this was installed, or it was for another Python
    from indexes.kernels.numpy_kernels import (
        added_up,
        amounts,
        counted,
        decoded,
        dots,
        even_worth,
        is_finite,
        may_be,
        mean_shares,
        nearnesses,
        price_nearness,
        rows_met,
        shares,
        weighed_sum,
    )

__all__ = [
    "added_up",
    "amounts",
    "counted",
    "decoded",
    "dots",
    "even_worth",
    "is_finite",
    "may_be",
    "mean_shares",
    "nearnesses",
    "price_nearness",
    "rows_met",
    "shares",
    "weighed_sum",
]
COMPILED = dots.__module__.endswith("compiled_kernels")
