"""What this service uses of gunicorn is there, in the release that is installed."""

import ast
import inspect
from pathlib import Path

import pytest
from gunicorn.config import Config

import service
from service.server.gunicorn_api import MEMBERS, PlainConfig

FILES = [
    path for path in Path(service.__file__).parent.rglob("*.py") if path.stem != "gunicorn_api"
]


@pytest.mark.parametrize("kind", MEMBERS, ids=lambda kind: kind.__name__)
def test_gunicorn_has_what_is_used_of_it(kind: type) -> None:
    """As attributes of the class, or set by its code or that of its bases."""
    bases = [base for base in kind.__mro__ if base.__module__.startswith("gunicorn")]
    code = "".join(inspect.getsource(base) for base in bases)
    missing = [
        name for name in MEMBERS[kind] if not hasattr(kind, name) and f"self.{name} = " not in code
    ]
    assert not missing


def test_gunicorn_is_imported_in_one_place() -> None:
    """The proxy alone has its own, which is gunicorn as anybody uses it."""
    importing = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gunicorn"):
                importing.add(path.name)
            if isinstance(node, ast.Import):
                importing |= {path.name for name in node.names if name.name.startswith("gunicorn")}
    assert importing <= {"serve_proxy.py"}


def test_plain_settings_are_those_of_gunicorn() -> None:
    cfg = Config()
    cfg.set("forwarder_headers", "")
    plain = PlainConfig(cfg)
    for name in cfg.settings:
        assert getattr(plain, name) == cfg.settings[name].get(), name
    for name in ("is_ssl", "forwarded_allow_networks", "proxy_allow_networks", "address"):
        assert getattr(plain, name) == getattr(cfg, name), name
    with pytest.raises(AttributeError):
        _ = plain.nothing_of_this_name
