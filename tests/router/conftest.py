"""A client of a router that answers as it is told."""

from collections.abc import Iterator

import pytest

from shared.router.client import RouterClient
from tests.router.answering import Router, client_of


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
def client(router: Router) -> Iterator[RouterClient]:
    client = client_of(router)
    yield client
    client._http.close()
