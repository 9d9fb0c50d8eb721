"""lanes.py: a parsed request -> which threads answer it, by the address that Flask will see."""

import enum
import os
from typing import Any, Final

from service.server.gunicorn_api import unquote_to_wsgi_str

_HEALTH: Final = frozenset({"/livez", "/readyz", "/health"})
_SEARCHES: Final = frozenset(
    ("/rerank", "/rerank/batch", "/v1/rerank", "/v2/rerank", "/jina/v1/rerank", "/voyage/v1/rerank")
)
SHORT: Final = "/rerank"  # as it has to be written, for the short road
_RANK: Final = "/rank/"  # and the name of a model
_SCRIPT: Final = os.environ.get("SCRIPT_NAME", "")  # what gunicorn takes off every address


class Lane(enum.Enum):
    """HEALTH is never refused, SEARCH passes the gate, OTHER is limited in number."""

    HEALTH = enum.auto()
    SEARCH = enum.auto()
    OTHER = enum.auto()


def lane_of(request: Any) -> Lane:
    """request: as gunicorn's parser made it, so that this is the path that gets routed."""
    path = path_of(request)
    if path in _HEALTH:
        return Lane.HEALTH
    return Lane.SEARCH if request.method == "POST" and _is_search(path) else Lane.OTHER


def _is_search(path: str) -> bool:
    if path in _SEARCHES:
        return True
    model = path.removeprefix(_RANK)
    return path.startswith(_RANK) and bool(model) and "/" not in model


def path_of(request: Any) -> str:
    """The path as Werkzeug routes it: unquoted, and with one slash at its beginning."""
    path: str = unquote_to_wsgi_str(request.path.removeprefix(_SCRIPT))
    return "/" + path.lstrip("/")
