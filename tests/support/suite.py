"""suite.py: collected tests -> an order that keeps every worker busy, and what was left out."""

from collections import Counter
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Time says nothing about an example: a machine may be busy.
settings.register_profile(
    "suite",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("suite")
# A file that has one of these in it starts processes, loads models or renders pages: it takes long.
_LONG = ("serving", "subprocess", "SentenceTransformer", "tiny_bert", "sync_playwright", "Jobs")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, and among equals those with many tests.

    xdist hands out whole files in this order (`--no-loadscope-reorder`). By itself it goes by the
    number of tests: the few long ones of a service or a browser would come last, one worker at
    work and the others at an end.
    """
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (not _long(getattr(item, "module", None)), -tests[item.path]))


def _long(module: ModuleType | None) -> bool:
    return any(hasattr(module, name) for name in _LONG)


class LeftOut:
    """Says at the end which tests did not run, and the command that runs them."""

    def __init__(self) -> None:
        self._heavy = 0

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._heavy += sum(item.get_closest_marker("heavy") is not None for item in items)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["heavy"] = self._heavy

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Each of xdist's workers has collected all; the first process nothing."""
        self._heavy = max(self._heavy, getattr(node, "workeroutput", {}).get("heavy", 0))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._heavy:
            terminalreporter.write_line(
                f"Left out: tests that take minutes ({self._heavy}). `make test-heavy` runs them."
            )
