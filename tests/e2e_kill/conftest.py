"""The whole stack, with a proxy between the functions and all that they call."""

from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.support.proxy import Proxy
from tests.support.running import Running
from tests.support.stacks import behind_proxy, give_back_after


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """Return the proxy; it knows whose processes to kill as soon as the stack runs."""
    made = Proxy()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, proxy: Proxy) -> Iterator[Stack]:
    """Run the stack with an empty pool, so that each signup makes a database."""
    settings = {"POOL_TARGET": "0", "PUBLISH_SETTLE": "PT1S"}
    with behind_proxy(tmp_path_factory.mktemp("stack"), proxy, settings) as made:
        yield made


@pytest.fixture(scope="module")
def running(stack: Stack) -> Iterator[Running]:
    """Use the stack from outside."""
    made = Running(stack)
    give_back_after(made, 2)
    yield made
    made.close()
