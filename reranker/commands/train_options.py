"""train_options.py: options of several commands -> settings of a training, a time."""

from typing import Any

import click
import msgspec

from indexes.times import BadTime, TimeReader, TimeSettings
from indexes.workspace import Workspace
from reranker.model.settings import TrainSettings


def time_option(workspace: Workspace, value: str, name: str) -> float:
    """The time that an option names, in epoch seconds."""
    try:
        return TimeReader(workspace.section(TimeSettings)).read(value, name).seconds
    except BadTime as error:
        raise click.UsageError(f"{error}.") from None


def with_options(workspace: Workspace, **options: Any) -> TrainSettings:
    """The home's settings with what the command line says instead."""
    changes = {name: value for name, value in options.items() if value is not None}
    return msgspec.structs.replace(workspace.section(TrainSettings), **changes)
