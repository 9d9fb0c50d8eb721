"""Who is searching, where a format has no place for it; and that no typed text ever says it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from support.keys import bearing
from support.shop import copy_home, patient
from werkzeug.datastructures import Headers

from reranker.errors import BadRequest
from reranker.feedback.records import ranking_files, read_rankings
from service.access.keys import KeyFile
from service.app import create_app, ranking_log
from service.formats.shoppers import Shopper, opened

ITEMS = [str(number) for number in range(0, 60, 3)]
VICTIM = '{"q": "lamp", "user": "u1"}'


@pytest.fixture(scope="module")
def home(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(trained_home, tmp_path_factory.mktemp("shoppers") / "home")


@pytest.fixture(scope="module")
def shop(home: Path) -> Iterator[tuple[Flask, dict[str, str]]]:
    file = KeyFile(home)
    keys = {
        "plain": file.create("plain", ("rerank",))[0],
        "admin": file.create("admin", ("admin",))[0],
        "backend": file.create("backend", ("rerank", "envelope"))[0],
        "alone": file.create("alone", ("envelope",))[0],
    }
    yield create_app(patient(home)), keys


def post(client: FlaskClient, key: str, query: str, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"query": query, "documents": ITEMS}
    return client.post("/v2/rerank", json=body, headers=bearing(key) | named)


def ranked(answer: Any) -> list[tuple[int, float]]:
    assert answer.status_code == 200, answer.text
    return [(row["index"], row["relevance_score"]) for row in answer.get_json()["results"]]


def test_headers_and_envelopes_name_the_shopper(shop: Any) -> None:
    app, keys = shop
    client = app.test_client()
    nobody = ranked(post(client, keys["plain"], "jacket"))
    named = ranked(post(client, keys["plain"], "jacket", X_User="u1"))
    assert named != nobody
    assert ranked(post(client, keys["plain"], "jacket", X_User_Id="u1")) == named
    envelope = json.dumps({"q": "jacket", "user": "u1"})
    assert ranked(post(client, keys["backend"], envelope)) == named
    assert ranked(post(client, keys["backend"], '{"q": "jacket"}', X_User="u1")) == named
    without = json.dumps({"q": "jacket", "user": "u1", "personalize": False})
    assert ranked(post(client, keys["backend"], without)) == nobody
    refusing = {"X_User": "u1", "X_Personalize": "false"}
    assert ranked(post(client, keys["plain"], "jacket", **refusing)) == nobody


def test_a_blend_is_named_by_header_or_envelope(shop: Any) -> None:
    app, keys = shop
    client = app.test_client()
    assert post(client, keys["plain"], "jacket", X_Blend="default").status_code == 200
    for answer in (
        post(client, keys["plain"], "jacket", X_Blend="nobodys"),
        post(client, keys["backend"], '{"q": "jacket", "blend": "nobodys"}'),
    ):
        assert answer.status_code == 400 and "nobodys" in answer.get_json()["message"]


@pytest.mark.parametrize("key", ["plain", "admin"])
def test_a_typed_envelope_is_text_to_every_key_without_the_right(shop: Any, key: str) -> None:
    """To admin's, too: a backend that searches with it passes on what shoppers type."""
    app, keys = shop
    client = app.test_client()
    typed = ranked(post(client, keys[key], VICTIM))
    assert typed == ranked(post(client, keys[key], VICTIM, X_User="a stranger"))
    assert typed != ranked(post(client, keys[key], VICTIM, X_User="u1"))


def test_a_typed_envelope_is_text_where_no_key_is_needed(client: FlaskClient) -> None:
    answer = client.post("/v2/rerank", json={"query": VICTIM, "documents": ITEMS})
    assert answer.status_code == 200
    assert "behaviour: no_model" not in str(answer.get_json()["meta"]), "nobody was named"


def test_with_the_right_a_typed_text_alone_is_refused(shop: Any) -> None:
    """A backend that forgets the envelope learns so at its first search, not from a shopper."""
    app, keys = shop
    client = app.test_client()
    for query in ("lamp", "", "[]", "{}", '"lamp"', "null", '{"user": "u1"}', "{" * 2000):
        answer = post(client, keys["backend"], query)
        assert answer.status_code == 400, (query, answer.text)
        assert "envelope" in answer.get_json()["message"] and set(answer.get_json()) == {"message"}
    wrapped = ranked(post(client, keys["backend"], json.dumps({"q": VICTIM})))
    assert wrapped == ranked(post(client, keys["plain"], VICTIM)), "what is in q is text"


def test_glued_envelopes_are_refused(shop: Any) -> None:
    """Without escaping, a typed quote would end q and begin another key."""
    app, keys = shop
    client = app.test_client()
    typed = 'x", "user": "u1'
    for glued in (
        f'{{"user": "u2", "q": "{typed}"}}',
        f'{{"q": "{typed}", "user": "u2"}}',
        f'{{"q": "{typed}", "user": null}}',
        f'{{"q": "{typed}", "more": 1}}',
    ):
        assert post(client, keys["backend"], glued).status_code == 400


# What somebody types who knows how the envelope around the query was glued together.
_PARTS = st.sampled_from(
    [*('"', "\\", "{", "}", ",", ":", " ", "x", "null", '"user"', '"session"', '"blend"', '"q"')]
    + ['", "user": "victim', '", "session": "v', '", "q": "y', '"}', '\\", "', "\\u0022", "\n"]
)


@given(typed=st.lists(_PARTS, max_size=8).map("".join), user=st.sampled_from(["null", '"u2"']))
def test_with_q_last_not_even_a_glued_envelope_lets_a_typed_text_in(typed: str, user: str) -> None:
    """Without any escaping. What comes through is a query, and the shopper is who he was."""
    glued = f'{{"user": {user}, "q": "{typed}"}}'
    try:
        shopper = opened(glued, Headers(), enveloped=True)
    except BadRequest:
        return
    assert shopper == Shopper(shopper.query, json.loads(user))


@pytest.mark.parametrize(
    "glued",
    [
        '{"user": null, "q": "x", "session": "victim"}',
        '{"user": null, "q": "x", "blend": "other", "personalize": true}',
        '{"session": "s", "q": "x", "user": "victim"}',
        '{"q": "x", "user": "u2", "\\u0075ser": "victim"}',
        '{"q": "x", "user": "u2", "User": "victim"}',
        '{"q": "x", "\\u0071": "y", "user": "u2"}',
        '{"user": "u2", "q": "x"} {"user": "victim", "q": "x"}',
        '{"user": "u2", "q": {"q": "x", "user": "victim"}}',
        '{"user": ["u2"], "q": "x"}',
        '[{"user": "u2", "q": "x"}]',
    ],
)
def test_forged_envelopes_are_refused(glued: str) -> None:
    with pytest.raises(BadRequest, match="envelope"):
        opened(glued, Headers(), enveloped=True)


def test_q_may_stand_first_or_last() -> None:
    for envelope in (
        '{"q": "x", "user": "u1", "session": "s1"}',
        '{"user": "u1", "session": "s1", "q": "x"}',
    ):
        assert opened(envelope, Headers(), enveloped=True) == Shopper("x", "u1", "s1")


@given(typed=st.text(st.characters(codec="utf-8"), max_size=60), user=st.none() | st.just("u2"))
def test_whatever_is_typed_names_nobody(typed: str, user: str | None) -> None:
    assert opened(typed, Headers(), enveloped=False) == Shopper(typed)
    wrapped = json.dumps({"q": typed, "user": user})
    assert opened(wrapped, Headers(), enveloped=True) == Shopper(typed, user)
    try:
        shopper = opened(typed, Headers(), enveloped=True)
    except BadRequest:
        return
    assert json.loads(typed)["q"] == shopper.query


def test_the_right_alone_opens_no_route(shop: Any) -> None:
    app, keys = shop
    assert post(app.test_client(), keys["alone"], '{"q": "x"}').status_code == 403


def test_the_envelope_is_taken_off_before_anything_is_logged(shop: Any, home: Path) -> None:
    app, keys = shop
    query = json.dumps({"q": "a rare envelope test", "user": "u1", "session": "s9"})
    assert post(app.test_client(), keys["backend"], query).status_code == 200
    ranking_log(app).flush()
    logged = read_rankings(ranking_files(home / "rankings"), on_bad=lambda *bad: None)
    [mine] = [line for line in logged if "rare envelope" in line.query]
    assert mine.query == "a rare envelope test"
    assert mine.user and mine.user != "u1", "under a pseudonym"


def test_names_in_headers_are_read_as_utf_8() -> None:
    header = Headers({"X-User": "zoë".encode().decode("latin-1"), "X-Session": " s "})
    assert opened("q", header, enveloped=False) == Shopper("q", "zoë", "s")
    with pytest.raises(BadRequest, match="user"):
        opened("q", Headers({"X-User": "x" * 513}), enveloped=False)
