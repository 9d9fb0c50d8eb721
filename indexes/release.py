"""release.py: which release of the program this is, the same however it was installed."""

from typing import Final

VERSION: Final = "0.1.0"  # pyproject.toml reads it from here
