"""query_text.py: the body of a search -> what the shopper typed, as its query clauses say it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from service.proxy.json_paths import text_at

# Clauses with their text in `query`, and clauses that name a field first.
_PLAIN: Final = frozenset(
    (
        *("multi_match", "query_string", "simple_query_string", "combined_fields", "semantic"),
        *("text_expansion", "sparse_vector"),
    )
)
_BY_FIELD: Final = frozenset(
    (
        *("match", "match_phrase", "match_phrase_prefix", "match_bool_prefix", "neural"),
        *("neural_sparse", "text_expansion"),
    )
)
_TEXTS: Final = ("query", "query_text", "model_text")
# What narrows a search down is not what was typed; what is under these is no query at all.
_SKIPPED: Final = frozenset(
    (
        *("filter", "must_not", "negative", "post_filter", "aggs", "aggregations", "suggest"),
        *("highlight", "rescore", "sort", "script_fields", "_source", "fields", "runtime_mappings"),
        *("functions", "script", "inner_hits", "collapse", "docvalue_fields", "indices_boost"),
    )
)
_SAID: Final = ("ext.ubi.user_query", "ext.rerank.query_context.query_text")
_DEPTH: Final = 40


def query_text(body: Mapping[str, Any], paths: Sequence[str] = ()) -> str | None:
    """The text at the first of these paths that holds one; else what a plugin's `ext` says; else
    that of the first clause that searches for a text. None where there is none."""
    for path in (*paths, *_SAID):
        if text := text_at(body, path):
            return text
    return next(_texts(body), None)


def _texts(node: Any, depth: int = 0) -> Iterator[str]:
    if depth > _DEPTH:
        return
    if isinstance(node, list):
        for part in node:
            yield from _texts(part, depth + 1)
    if not isinstance(node, dict):
        return
    for name, value in _must_first(node):
        if name in _SKIPPED:
            continue
        if name in _PLAIN and (text := _text(value)):
            yield text
        elif name in _BY_FIELD and isinstance(value, dict):
            yield from filter(None, (_text(clause) for clause in value.values()))
        elif name in ("model_text", "inference_text") and isinstance(value, str) and value.strip():
            yield value
        else:
            yield from _texts(value, depth + 1)


def _must_first(node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What has to match before what only should; the retriever of a re-ranker before its own."""
    first = ("must", "retriever")
    yield from ((name, node[name]) for name in first if name in node)
    yield from ((name, value) for name, value in node.items() if name not in first)


def _text(clause: Any) -> str | None:
    if isinstance(clause, dict):
        clause = next((clause[name] for name in _TEXTS if name in clause), None)
    if isinstance(clause, int | float) and not isinstance(clause, bool):
        clause = str(clause)
    return clause if isinstance(clause, str) and clause.strip() else None
