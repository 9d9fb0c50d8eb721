"""settings.py: the section [serve]: where and with how much the service runs."""

from typing import Annotated

import msgspec

from indexes.workspace import Settings


class ServeSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where and with how much the service runs."""

    host: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="Address to listen on; any but a loopback address needs an API key.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ] = 8000
    hosts: Annotated[
        list[str],
        msgspec.Meta(
            description="Names (Host headers) to answer to beside loopback ones; on another "
            "address, these alone. Empty there: any name.",
        ),
    ] = []
    origins: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=r"^https?://[^/*\s]+/?\Z")]],
        msgspec.Meta(
            description="Other sites whose pages may call the service, such as "
            "https://shop.example; the engineers' page is for none of them.",
        ),
    ] = []
    workers: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=256, description="Processes; they share the index, so more cost little memory."
        ),
    ] = 2
    threads: Annotated[
        int, msgspec.Meta(ge=1, le=256, description="Requests that one process works on at once.")
    ] = 4
    grace_seconds: Annotated[
        int,
        msgspec.Meta(ge=0, description="Seconds that running requests get when the service stops."),
    ] = 10
    drain_seconds: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=3600,
            description="Seconds after SIGTERM in which /readyz says no and everything is still "
            "answered, so that a load balancer sends its requests elsewhere.",
        ),
    ] = 5.0
