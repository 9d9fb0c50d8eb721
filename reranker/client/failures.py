"""failures.py: what went wrong with a call -> its name, its reason, and whether to call again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

UNREACHABLE: Final = "unreachable"  # the request never arrived
INTERRUPTED: Final = "interrupted"  # it was sent, and no whole answer came
TIMEOUT: Final = "timeout"
BAD_ANSWER: Final = "bad_answer"
BAD_REQUEST: Final = "bad_request"  # what was to be sent is no JSON
FAILED: Final = "failed"  # on this side, such as an address that is none
CLOSED: Final = "closed"
_NOT_DONE: Final = frozenset({429, 503})  # the service did nothing, and says so
_LOST_ON_THE_WAY: Final = frozenset({502, 504})  # a proxy cannot tell
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed. code: one of the above, or the service's own, such as `overloaded`.

    status: of the answer, where there was one; field: the place in the request that is wrong;
    retry_after: seconds, where the service says when to come again.
    """

    code: str
    message: str
    status: int | None = None
    field: str | None = None
    retry_after: float | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def may_pass(self, *, repeatable: bool) -> bool:
        """Whether the same call may be made again, and may then succeed.

        repeatable: doing it twice is as doing it once. A call that is not is made again only where
        it is certain that nothing was done.
        """
        if self.code == UNREACHABLE or self.status in _NOT_DONE:
            return True
        return repeatable and (self.code == INTERRUPTED or self.status in _LOST_ON_THE_WAY)


class RerankerError(Exception):
    """A call that failed and has nothing to fall back to. failure: why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def bad_answer(problem: str) -> RerankerError:
    """An answer with status 200 that is not what the service answers."""
    return RerankerError(Failure(BAD_ANSWER, f"The answer {problem}."))


def failure_of(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """What an answer with this status says, in the service's error shape or in none."""
    after = _seconds(headers.get("Retry-After"))
    try:
        detail = json.loads(body)["error"]
        field = detail.get("field")
        return Failure(
            str(detail["code"]),
            str(detail["message"]),
            status,
            None if field is None else str(field),
            after,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        text = body[:_SHOWN].decode(errors="replace").strip()
        return Failure(f"status_{status}", text or f"HTTP status {status}", status, None, after)


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isascii() and header.isdecimal() else None


def numbered(payload: Mapping[str, Any], name: str) -> int:
    """A count of an answer; RerankerError where there is none."""
    value = payload.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise bad_answer(f"has no count `{name}`")
    return value
