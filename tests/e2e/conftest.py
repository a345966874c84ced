"""The whole stack: functions under AWS's runtime client, moto, the emulator with real workerd."""

from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.support.running import Running


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run the stack that most tests share: Cloudflare's own limit, small shards."""
    settings = {"POOL_TARGET": "3", "SHARD_CAPACITY": "50"}
    with Stack(tmp_path_factory.mktemp("stack"), settings) as made:
        yield made


@pytest.fixture(scope="session")
def _session_running(stack: Stack) -> Iterator[Running]:
    made = Running(stack)
    yield made
    made.close()


@pytest.fixture
def running(_session_running: Running) -> Iterator[Running]:
    """Use the shared stack, with a full pool; whatever goes wrong by script ends with the test."""
    _session_running.wait_full()
    yield _session_running
    _session_running.control("faults", [])


@pytest.fixture(scope="session")
def quick_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run a stack that may call Cloudflare as often as it likes and settles within a second."""
    settings = {"POOL_TARGET": "3", "API_LIMIT": "100000", "PUBLISH_SETTLE": "PT1S"}
    with Stack(tmp_path_factory.mktemp("quick"), settings) as made:
        yield made


@pytest.fixture(scope="session")
def _quick(quick_stack: Stack) -> Iterator[Running]:
    made = Running(quick_stack)
    yield made
    made.close()


@pytest.fixture
def quick(_quick: Running) -> Iterator[Running]:
    """Use the quick stack, with a full pool; what a test held or broke is let go."""
    _quick.wait_full()
    yield _quick
    _quick.control("faults", [])
    for room in _quick.shards():
        _quick.control("hold", {"script": room.script, "hold": False})
