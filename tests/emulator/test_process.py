import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[2]
Started = tuple["subprocess.Popen[str]", dict[str, Any]]
Start = Callable[[], Started]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the emulator as a process of its own, in a process group of its own."""
    processes: list[subprocess.Popen[str]] = []

    def run() -> Started:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.cloudflare", "--data", str(tmp_path / "data")],
            cwd=ROOT,
            env={**os.environ, "EMULATOR_API_TOKEN": "from-the-environment"},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        assert process.stdout is not None
        ready: dict[str, Any] = json.loads(process.stdout.readline())
        return process, ready

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def family(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def wait_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_cleanly(start: Start, number: signal.Signals) -> None:
    """Exit with 0 and leave no process, when the whole group gets the signal."""
    process, ready = start()
    verify = f"{ready['base_url']}/user/tokens/verify"
    headers = {"authorization": "Bearer from-the-environment"}
    assert httpx.get(verify, headers=headers).is_success
    everyone = family(process)
    assert len(everyone) >= 4
    os.killpg(process.pid, number)
    assert process.wait(10) == 0
    wait_gone(everyone)


def test_nothing_outlives_a_kill(start: Start) -> None:
    """Leave no workerd and no node behind when the emulator itself is killed."""
    process, _ = start()
    everyone = family(process)
    process.kill()
    process.wait(10)
    wait_gone(everyone)


def test_nothing_outlives_the_supervisor(start: Start) -> None:
    """End the runtimes when their supervisor is killed; the API still answers."""
    process, ready = start()
    (supervisor,) = [item for item in family(process) if item.name() == "node"]
    runtimes = supervisor.children()
    supervisor.kill()
    wait_gone(runtimes)
    assert httpx.get(f"{ready['control_url']}/stats").is_success


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """Stop when the process that started it is gone."""
    script = (
        "import json, subprocess, sys, time\n"
        "command = [sys.executable, '-m', 'local.cloudflare', '--data', sys.argv[1]]\n"
        "child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline(), end='', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        ready = json.loads(parent.stdout.readline())
        orphan = psutil.Process(ready["pid"])
        everyone = [orphan, *orphan.children(recursive=True)]
        parent.kill()
    wait_gone(everyone)


def test_a_taken_port_is_told(start: Start, tmp_path: Path) -> None:
    """Fail at once, and leave nothing running."""
    _, ready = start()
    for option, url in (("--port", ready["base_url"]), ("--workers-port", ready["workers_url"])):
        port = str(httpx.URL(url).port)
        command = [sys.executable, "-m", "local.cloudflare", "--data", str(tmp_path / "other")]
        done = subprocess.run(
            [*command, option, port],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode != 0
        assert "in use" in done.stderr.lower()
