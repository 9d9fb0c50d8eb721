"""The application on shoppers and a model of theirs."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.shop import Rerank, copy_home, patient

from service.app import create_app


@pytest.fixture(scope="module")
def trained_client(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """Requests to the application on a copy of the trained home."""
    home = copy_home(trained_home, tmp_path_factory.mktemp("recommend") / "home")
    return create_app(patient(home)).test_client()


@pytest.fixture
def recommend(trained_client: FlaskClient) -> Rerank:
    """POST /recommend of a JSON body; the answer, which has to be 200."""

    def post(body: dict[str, Any]) -> dict[str, Any]:
        answer = trained_client.post("/recommend", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    return post
