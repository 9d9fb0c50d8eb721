"""snippets.py: a page of the docs and a snippet's name -> its text."""

import re

from support.paths import ROOT

SERVICE = "http://127.0.0.1:8000"


def snippet(page: str, name: str, address: str = SERVICE) -> str:
    """As the page has it, but for the address of the service."""
    text = (ROOT / "docs" / page).read_text()
    match = re.search(rf"<!-- snippet: {re.escape(name)} -->\n```\w+\n(.*?)```", text, re.S)
    assert match, f"{page} has no snippet {name}"
    return match[1].replace(SERVICE, address)
