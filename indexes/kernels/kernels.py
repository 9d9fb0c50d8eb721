"""kernels.py: the loops of a ranking that this installation has: compiled, else numpy's."""

try:
    from indexes.kernels.compiled_kernels import (
        added_up,
        decoded,
        dots,
        even_worth,
        filled,
        is_finite,
        likeness,
        may_be,
        rows_of,
    )
except ImportError:  # no compiler when this was installed, or it was for another Python
    from indexes.kernels.numpy_kernels import (
        added_up,
        decoded,
        dots,
        even_worth,
        filled,
        is_finite,
        likeness,
        may_be,
        rows_of,
    )

__all__ = [
    "added_up",
    "decoded",
    "dots",
    "even_worth",
    "filled",
    "is_finite",
    "likeness",
    "may_be",
    "rows_of",
]
COMPILED = dots.__module__.endswith("compiled_kernels")
