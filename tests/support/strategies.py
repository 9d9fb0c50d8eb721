"""strategies.py: anything that a request may hold -> examples for hypothesis."""

import string
from typing import Any

from hypothesis import strategies as st
from support.breakable import FAULTS, IDS
from support.shop import TRAINED_AT

from indexes.names import normalised
from reranker.requests import Event
from reranker.signals.registry import SIGNALS

ids = st.one_of(
    st.sampled_from(IDS),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.text(string.ascii_letters + "0123456789-_/", min_size=1, max_size=12),
)
id_lists = st.one_of(  # also ids that HTTP would trim
    st.lists(ids, max_size=30, unique=True),
    st.sampled_from([0, 1, 1000]).map(lambda n: [*IDS, *(f"n{i}" for i in range(n))][:n]),
)
sent_lists = st.lists(ids.filter(normalised), max_size=30, unique_by=normalised)
scores = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 1.0, 1.0, 12.5, -3.0, 1e-300]),
    st.floats(allow_nan=False, allow_infinity=False),
)
texts = st.none() | st.none() | st.none() | st.sampled_from(["a red shoe", "", "é☕", "\x00"])
queries = st.sampled_from(
    ["red shoes", "", "  ", "arvo", "rain jacket", "kettle 17", "\u2615", "unseen words"]
) | st.text(max_size=30)
users = st.sampled_from(["u1", "nobody", None])
faults = st.dictionaries(st.sampled_from([*SIGNALS]), st.sampled_from([*FAULTS]), max_size=12)
histories = st.lists(
    st.builds(
        lambda item, days, kind: Event(type=kind, item=item, time=TRAINED_AT - days * 86_400),
        ids | st.sampled_from(["gone", "x y"]),
        st.floats(0.01, 90),
        st.sampled_from(["view", "cart", "purchase", "cancel", "other"]),
    ),
    max_size=60,
)


def given_values(**values: Any) -> dict[str, Any]:
    """Those that are not None, as a client leaves them out."""
    return {name: value for name, value in values.items() if value is not None}


candidates = st.lists(
    st.builds(
        lambda item, score, text: {"id": item, **given_values(score=score, text=text)},
        ids.filter(normalised),
        scores,
        texts,
    ),
    max_size=25,
    unique_by=lambda candidate: normalised(candidate["id"]),
)
bodies = st.builds(
    lambda sent, query, top_n, personalize, weights: {
        "candidates": sent,
        "query": query,
        **given_values(top_n=top_n, personalize=personalize, weights=weights),
    },
    candidates,
    queries,
    st.none() | st.integers(0, 30),
    st.none() | st.booleans(),
    st.none()
    | st.dictionaries(
        st.sampled_from(["engine", "semantic", "match", "available"]), st.floats(0, 5)
    ),
)
