"""settings.py: the section [logs]: what the service's log holds."""

from typing import Annotated, Literal

import msgspec

from indexes.workspace import Settings

Format = Literal["auto", "text", "json"]
Level = Literal["debug", "info", "warning", "error"]


class LogSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the running service writes to stderr."""

    format: Annotated[
        Format,
        msgspec.Meta(
            description="auto: text at a terminal, else JSON. With json no banner is printed; "
            "its facts are a line of the log."
        ),
    ] = "auto"
    level: Annotated[Level, msgspec.Meta(description="The least that is logged.")] = "info"
    access: Annotated[bool, msgspec.Meta(description="A line for every request.")] = False
    queries: Annotated[
        bool,
        msgspec.Meta(
            description="Show the query in the lines of a request. It is what a shopper typed: "
            "personal data may be in it."
        ),
    ] = False
    exception_texts: Annotated[
        bool,
        msgspec.Meta(
            description="Show the text of every exception in a request, not its type and place "
            "alone. It may hold what a shopper sent."
        ),
    ] = False
