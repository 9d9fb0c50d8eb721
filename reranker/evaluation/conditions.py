"""conditions.py: conditions such as `ndcg@10<-0.005` and differences -> which conditions hold.

For CI: a condition that holds makes `reranker evaluate` exit with 1.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from indexes.errors import Failure
from reranker.metrics.intervals import Difference

_SIGNS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_PARTS: Final = ("mean", "low", "high")
_FORM: Final = re.compile(
    r"\s*(?P<metric>[a-z]+(?:@\w+)?)(?:\.(?P<part>\w+))?\s*"
    r"(?P<sign><=|>=|<|>)\s*(?P<limit>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*"
)


class Failed(msgspec.Struct, frozen=True):
    """A condition that holds. value: None where one query or shopper is too few for an interval."""

    expression: str
    blend: str
    value: float | None

    def __str__(self) -> str:
        value = "there is no interval" if self.value is None else f"it is {self.value:+.4f}"
        return f"{self.expression} holds for {self.blend}: {value}"


@dataclass(frozen=True)
class FailIf:
    """One condition on the difference in one metric."""

    expression: str
    metric: str
    part: str
    sign: str
    limit: float

    def of(self, blend: str, difference: Difference) -> Failed | None:
        """Failed where it holds, and where its interval does not exist."""
        value: float | None = getattr(difference, self.part)
        if value is not None and not _SIGNS[self.sign](value, self.limit):
            return None
        return Failed(self.expression, blend, value)


def fail_if(expression: str, metrics: Sequence[str]) -> FailIf:
    """Read a condition on one of these metrics; Failure says what is allowed."""
    match = _FORM.fullmatch(expression)
    if match is None:
        raise _refused(
            f"--fail-if {expression!r} cannot be read; METRIC<NUMBER, METRIC.low<NUMBER or "
            "METRIC.high<NUMBER is expected, with <, <=, > or >=."
        )
    metric, part = match["metric"], match["part"] or "mean"
    if metric not in metrics:
        raise _refused(
            f"--fail-if {expression!r} names {metric!r}, which is not measured here; "
            f"measured are {', '.join(metrics)}.",
            hint=f"Choose one of them, or measure it with --metric {metric}.",
        )
    if part not in _PARTS:
        raise _refused(
            f"--fail-if {expression!r} asks for {part!r}; allowed are {', '.join(_PARTS)}."
        )
    return FailIf(expression.strip(), metric, part, match["sign"], float(match["limit"]))


def failed(
    conditions: Iterable[FailIf], differences: Mapping[str, Mapping[str, Difference]]
) -> list[Failed]:
    """The conditions that hold, of any blend. differences: by blend and metric."""
    return [
        failure
        for condition in conditions
        for blend, difference in differences.items()
        if (failure := condition.of(blend, difference[condition.metric]))
    ]


def _refused(message: str, hint: str = 'Example: --fail-if "ndcg@10<-0.005".') -> Failure:
    return Failure(message, field="fail_if", hint=hint)
