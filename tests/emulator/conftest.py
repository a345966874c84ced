"""One running emulator for all tests of the folder, and clients that speak to it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cloudflare
import pytest

from local.cloudflare import Emulator
from tests.emulator.api import Api


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("emulator"), calls=1_000_000)
    with emulator.start():
        yield emulator


@pytest.fixture
def live(running: Emulator) -> Iterator[Api]:
    """Speak HTTP to the shared emulator; faults, latencies and holds end with the test."""
    api = Api(running)
    yield api
    api.control.post("/reset")
    for script in running.fronts.held():
        running.fronts.hold(script, False)
    api.close()


@pytest.fixture
def sdk(live: Api) -> Iterator[cloudflare.Cloudflare]:
    with cloudflare.Cloudflare(
        api_token=live.emulator.api_token, base_url=live.emulator.base_url, max_retries=0
    ) as client:
        yield client


class Clock:
    """Tell the time that a test says it is."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quiet(tmp_path: Path, clock: Clock) -> Iterator[Api]:
    """Speak in-process to an emulator of one's own, with a clock of one's own; no Workers run."""
    with Emulator(tmp_path / "quiet", clock=clock) as emulator:
        api = Api(emulator, wsgi=True)
        yield api
        api.close()


@pytest.fixture
def in_background() -> Iterator[Callable[[Callable[[], None]], Callable[[], None]]]:
    """Do something over and over in a thread; the test gets the function that ends it."""
    stops: list[Callable[[], None]] = []

    def start(work: Callable[[], None]) -> Callable[[], None]:
        ended = threading.Event()

        def loop() -> None:
            while not ended.is_set():
                work()

        def stop() -> None:
            ended.set()
            thread.join(30)

        thread = threading.Thread(target=loop)
        thread.start()
        stops.append(stop)
        return stop

    yield start
    for stop in stops:
        stop()
