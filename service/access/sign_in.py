"""sign_in.py: an API key in a form -> a session cookie and the page; without one, the form."""

import base64
import hashlib
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from flask import Response, redirect, request

from service.access.key_ring import Caller
from service.access.sessions import COOKIE, SECONDS, Sessions
from service.http.received import read_body

CALLER: Final = "reranker.caller"  # in the environ: the name of the key that opened the page
MOST_BYTES: Final = 4096
_STYLE: Final = Path(__file__).with_name("sign_in.css").read_text(encoding="utf-8")
_ICON_FILE: Final = Path(__file__).parents[1] / "page" / "assets" / "icon.svg"
_ICON: Final = base64.b64encode(_ICON_FILE.read_bytes()).decode()
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# A link in a message or a chat arrives without the cookie, which is SameSite=Strict; the reload is
# our own, and brings it.
_AGAIN: Final = '<meta http-equiv="refresh" content="0">'
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{again}<title>reranker: sign in</title>
<link rel="icon" href="data:image/svg+xml;base64,{icon}">
<style>{style}</style>
</head>
<body>
<main>
<form method="post" action="/sign-in{query}">
<h1><span class="mark"></span>reranker</h1>
<label for="key">API key</label>
<input id="key" name="key" type="password" autocomplete="current-password" spellcheck="false"
 required autofocus{invalid}>
{problem}<button>Sign in</button>
<p>A key with the scope <b>tune</b> or <b>admin</b>. Whoever runs the service makes one:</p>
<pre>reranker keys create --name NAME --scope tune</pre>
</form>
</main>
</body>
</html>
"""


def sign_in_page(status: int, problem: str = "") -> Response:
    """The form; it leads back to the address that was asked for, its query included."""
    query = request.query_string.decode("latin-1")
    crossed = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    page = _PAGE.format(
        again=_AGAIN if crossed and request.method == "GET" else "",
        icon=_ICON,
        style=_STYLE,
        query=escape(f"?{query}") if query else "",
        invalid=' aria-invalid="true" aria-describedby="problem"' if problem else "",
        problem=f'<p id="problem" role="alert">{escape(problem)}</p>\n' if problem else "",
    )
    answer = Response(page, status, content_type="text/html; charset=utf-8")
    answer.headers["Content-Security-Policy"] = _POLICY
    answer.headers["Cache-Control"] = "no-store"
    return answer


def presented_key() -> str:
    """The key in the form that was sent; empty when there is none."""
    body = read_body(MOST_BYTES).decode("utf-8", "replace")
    return parse_qs(body, max_num_fields=10).get("key", [""])[0].strip()


def to_the_page() -> Response:
    """Back to the address that was asked for: always the page, whatever the query says."""
    query = request.query_string.decode("latin-1")
    return _redirect(f"/?{query}" if query else "/")


def signed_in(sessions: Sessions, caller: Caller) -> Response:
    """The page, with a cookie that opens it."""
    answer = to_the_page()
    answer.set_cookie(
        COOKIE,
        sessions.begin(caller),
        max_age=SECONDS,
        httponly=True,
        samesite="Strict",
        secure=request.is_secure,
    )
    return answer


def signed_out() -> Response:
    """The form again; the browser forgets the cookie."""
    answer = _redirect("/")
    answer.delete_cookie(COOKIE, httponly=True, samesite="Strict", secure=request.is_secure)
    return answer


def _redirect(address: str) -> Response:
    answer = redirect(address, 303, Response=Response)
    answer.set_data(b"")
    assert isinstance(answer, Response)
    return answer
