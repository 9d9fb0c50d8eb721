"""banner.py: what is served and where -> what the terminal says."""

from collections.abc import Callable

from reranker.ranking.state import ServedState
from service.access.keys import ApiKey

Banner = Callable[[str, ServedState], str]


def default_banner(url: str, state: ServedState, keys: tuple[ApiKey, ...] | None = None) -> str:
    """What `reranker serve` says once it answers. keys: those that open it; None: it is open."""
    body = '{"query": "...", "candidates": [{"id": "17", "score": 12.3}, {"id": "99"}]}'
    key = "" if keys is None else " -H 'Authorization: Bearer KEY'"
    return "\n".join(
        (
            f"reranker answers on {url}",
            f"  index  {state.index.version}, {len(state.index):,} items",
            f"  blend  {state.published.name} v{state.published_version}",
            f"  keys   {_key_names(keys)}",
            f"  try    curl {url}/rerank{key} -d '{body}'",
        )
    )


def _key_names(keys: tuple[ApiKey, ...] | None) -> str:
    if keys is None:
        return "none configured: open to everybody on this machine, and to nobody else"
    if not keys:
        return "none valid: nothing gets in until `reranker keys create` makes one"
    first = ", ".join(f"{key.name} ({' '.join(key.scopes)})" for key in keys[:4])
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return f"{first}{more}; every route but /livez and /readyz needs one"
