"""conftest.py: clients of others, of a Python that has them: RERANKER_TEST_CLIENTS names it.

They drag in what this project does not need, so they stay out of its environment, and these tests
are there only where the variable is set (docs/clients.md).
"""

import os

PYTHON = os.environ.get("RERANKER_TEST_CLIENTS")
collect_ignore_glob = [] if PYTHON else ["test_*.py"]
