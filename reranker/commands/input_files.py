"""input_files.py: an option's path -> the same, if a file or folder is there.

Asked while the options are read: before an index or a text encoder is opened, which takes seconds.
"""

from pathlib import Path
from typing import Any

import click

from indexes.readers.lines import existing


class InputFile(click.Path):
    """A path that something is read from; Failure where nothing is."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return existing(Path(str(super().convert(value, param, ctx))))
