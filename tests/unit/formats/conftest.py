"""conftest.py: an application of its own: what is counted in it is what these tests sent."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from support.shop import patient

from service.app import create_app


@pytest.fixture(scope="session")
def client(shop_home: Path) -> FlaskClient:
    """Requests to the real application."""
    return create_app(patient(shop_home)).test_client()
