"""origins.py: where a browser says that a POST comes from -> why it is refused, if it is."""

from typing import Final
from urllib.parse import urlsplit

from flask import request

CALLER: Final = "reranker.caller"  # in the environ: the name of the key that opened the page


def foreign(site: str | None, origin: str | None) -> str:
    """Why a POST is refused that another site made a browser send; empty where it is our own.

    Every browser since 2020 sends Sec-Fetch-Site or Origin with it; programs send neither.
    """
    if site not in (None, "same-origin", "none"):
        return f"Sec-Fetch-Site is {site!r}: only the page itself may call this."
    if origin is not None and _host(origin) != request.host:
        return (
            f"Origin is {origin!r}, the service is {request.host!r}: only the page may call this."
        )
    return ""


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # no address, so nobody's
        return ""
