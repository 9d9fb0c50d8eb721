"""calls.py: a path and a body -> the JSON that the service answers, by the deadline.

The deadline is of the whole call: name look-up, connecting, an answer that comes in drops, and
tries again. A try that could not succeed in what is left of it is not made.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

from .failures import (
    CLOSED,
    FAILED,
    INTERRUPTED,
    TIMEOUT,
    UNREACHABLE,
    Failure,
    RerankerError,
    bad_answer,
    failure_of,
)

_MOST_BYTES: Final = 64 * 1024 * 1024  # of an answer; what is larger is none of the service's
_FIRST_WAIT: Final = 0.02  # seconds before the second try, doubled for each further one
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Calls:
    """Connections to one service, used again. url: with a path, where the service is behind one."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        verify: Any = True,
    ) -> None:
        self._open: Callable[[], httpx.AsyncClient] = lambda: httpx.AsyncClient(
            base_url=url,
            headers=_headers(key, headers or {}),
            verify=verify,
            timeout=None,  # the deadline is the one limit
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=100),
        )
        self._http: httpx.AsyncClient | None = None
        self._closed = False

    async def post(
        self,
        path: str,
        body: bytes,
        *,
        deadline: float,
        retries: int,
        repeatable: bool,
        tell_deadline: bool = False,
    ) -> Any:
        """The decoded answer; RerankerError says why there is none.

        deadline: seconds. repeatable: sending it twice does what sending it once does.
        """
        http = self._client()  # the first call opens it, before the clock runs
        until = time.monotonic() + deadline
        last: Failure | None = None
        try:
            async with asyncio.timeout(deadline):
                for attempt in range(retries + 1):
                    try:
                        return await _once(http, path, body, until if tell_deadline else None)
                    except RerankerError as error:
                        last = error.failure
                        wait = _wait(last, attempt)
                        left = until - time.monotonic()
                        may_pass = last.may_pass(repeatable=repeatable)
                        if not may_pass or attempt == retries or wait >= left:
                            raise
                    await asyncio.sleep(wait)
        except TimeoutError:
            before = f"; before, {last}" if last else ""
            raise RerankerError(
                Failure(TIMEOUT, f"No answer from {path} within {deadline:g} s{before}.")
            ) from None
        raise AssertionError("the last try returns or raises")

    def _client(self) -> httpx.AsyncClient:
        """Opened at the first call, so in the loop that it then belongs to."""
        if self._closed:
            raise RerankerError(Failure(CLOSED, "this client is closed"))
        if self._http is None:
            try:
                self._http = self._open()
            except Exception as error:
                raise _failed(FAILED, error) from None
        return self._http

    async def close(self) -> None:
        """No call can be made after it."""
        self._closed = True
        if self._http is not None:
            await self._http.aclose()


async def _once(http: httpx.AsyncClient, path: str, body: bytes, until: float | None) -> Any:
    headers = {"Content-Type": "application/json"}
    if until is not None:
        left = max((until - time.monotonic()) * 1000, 1)
        headers["X-Request-Timeout-Ms"] = f"{left:.0f}"
    try:
        async with http.stream("POST", path, content=body, headers=headers) as response:
            received = bytearray()
            async for part in response.aiter_bytes():
                received += part
                if len(received) > _MOST_BYTES:
                    raise bad_answer(f"is longer than {_MOST_BYTES:,} bytes")
    except _NOT_SENT as error:
        raise _failed(UNREACHABLE, error) from None
    except (httpx.HTTPError, httpx.StreamError, OSError) as error:
        raise _failed(INTERRUPTED, error) from None
    except RerankerError:
        raise
    except Exception as error:  # such as an address that is none: a search goes on all the same
        raise _failed(FAILED, error) from None
    if not response.is_success:
        raise RerankerError(failure_of(response.status_code, response.headers, bytes(received)))
    try:
        return json.loads(received)
    except (ValueError, RecursionError):
        raise bad_answer("is not JSON") from None


def _headers(key: str | None, more: Mapping[str, str]) -> dict[str, str]:
    own = {"Accept-Encoding": "identity", "User-Agent": "shop-reranker-client"}
    return own | ({"Authorization": f"Bearer {key}"} if key else {}) | dict(more)


def _failed(code: str, error: Exception) -> RerankerError:
    return RerankerError(Failure(code, str(error) or type(error).__name__))


def _wait(failure: Failure, attempt: int) -> float:
    """Seconds before the next try, spread so that many clients do not come at once."""
    if failure.retry_after is not None:
        return failure.retry_after
    return float(_FIRST_WAIT * 2**attempt * random.uniform(0.5, 1.0))
