"""security_headers.py: an answer -> the same, with what browsers must not do with it."""

from typing import Final

from flask import Flask, Response

# An answer that brings its own (the page's policy, its Referrer-Policy) keeps it.
HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
# For answers that never reached Flask.
RAW: Final = "".join(f"{name}: {value}\r\n" for name, value in HEADERS)


def register_security_headers(app: Flask) -> None:
    """On every answer, errors too."""

    @app.after_request
    def harden(answer: Response) -> Response:
        headers = answer.headers
        for name, value in HEADERS:
            if name not in headers:
                headers[name] = value
        return answer
