"""One function in its process, under AWS's runtime client."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.functions.lambda_service import LambdaService, UnknownFunction

SOURCE = """
    import json, os, sys, time
    from pathlib import Path

    HERE = Path(os.environ["HERE"])

    def echo(event, context):
        return {"event": event, "pid": os.getpid(), "function": context.function_name,
                "setting": os.environ["SETTING"], "left": context.get_remaining_time_in_millis()}

    def fail(event, context):
        raise ValueError("it is broken")

    def slow(event, context):
        (HERE / "began").write_text(str(os.getpid()))
        time.sleep(event["seconds"])
        return os.getpid()

    def leave(event, context):
        os._exit(3)
"""


def test_a_function_gets_its_event_and_what_lambda_tells_it(
    start: Callable[..., LambdaService],
) -> None:
    """The handler sees the event, its name, its variables and how long it has left."""
    result = start(SOURCE, "echo").invoke("echo", b'{"a": 1}')
    assert result.error is None
    answer = json.loads(result.payload)
    assert (answer["event"], answer["function"], answer["setting"]) == ({"a": 1}, "echo", "on")
    assert 10_000 < answer["left"] <= 20_000


def test_an_environment_is_used_again(start: Callable[..., LambdaService]) -> None:
    """Calls one after the other run in one process."""
    service = start(SOURCE, "echo")
    pids = {json.loads(service.invoke("echo", b"{}").payload)["pid"] for _ in range(3)}
    assert len(pids) == 1


def test_calls_at_once_run_beside_each_other_up_to_the_most(
    start: Callable[..., LambdaService],
) -> None:
    """Four calls of half a second in two environments take a second and two processes."""
    service = start(SOURCE, "slow", most=2)
    pids: list[bytes] = []
    began = time.monotonic()
    threads = [
        threading.Thread(
            target=lambda: pids.append(service.invoke("slow", b'{"seconds": 0.5}').payload)
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 1
    assert len(set(pids)) == 2


def test_a_call_that_finds_no_environment_in_time_is_throttled(
    start: Callable[..., LambdaService], tmp_path: Path
) -> None:
    """With the only environment busy, a call with little patience is turned away."""
    service = start(SOURCE, "slow", most=1)
    busy = threading.Thread(target=service.invoke, args=("slow", b'{"seconds": 1}'))
    busy.start()
    until = time.monotonic() + 20
    while not (tmp_path / "began").exists() and time.monotonic() < until:
        time.sleep(0.01)
    result = service.invoke("slow", b'{"seconds": 0}', patience=0.05)
    assert b"TooManyRequestsException" in result.payload
    busy.join()


def test_an_exception_is_an_error_and_the_environment_stays(
    start: Callable[..., LambdaService],
) -> None:
    """An exception is told with its type and message; its process is not lost."""
    service = start(SOURCE, "fail")
    first = service.invoke("fail", b"{}")
    assert first.error == "Unhandled"
    assert json.loads(first.payload)["errorType"] == "ValueError"
    assert json.loads(first.payload)["errorMessage"] == "it is broken"
    service.invoke("fail", b"{}")
    assert service.counts()["fail"].environments == 1


def test_a_process_that_leaves_ends_its_invocation(start: Callable[..., LambdaService]) -> None:
    """A process that exits half-way is an error that says so; the next call has a fresh one."""
    service = start(SOURCE, "leave", "echo")
    result = service.invoke("leave", b"{}")
    assert json.loads(result.payload)["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in json.loads(result.payload)["errorMessage"]
    assert "exit status 3" in service.invoke("leave", b"{}").payload.decode()
    assert service.counts()["leave"].environments == 2


def test_a_killed_process_ends_its_invocation(
    start: Callable[..., LambdaService], tmp_path: Path
) -> None:
    """SIGKILL half-way: the invocation ends at once, naming the signal, and the pid is gone."""
    service = start(SOURCE, "slow")
    results = []
    call = threading.Thread(
        target=lambda: results.append(service.invoke("slow", b'{"seconds": 20}'))
    )
    call.start()
    until = time.monotonic() + 20
    while not (tmp_path / "began").exists() and time.monotonic() < until:
        time.sleep(0.01)
    pid = service.pids("slow")[0]
    os.kill(pid, signal.SIGKILL)
    call.join(5)
    assert "SIGKILL" in results[0].payload.decode()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_timeout_kills_the_process(start: Callable[..., LambdaService]) -> None:
    """A function over its time is killed; the error says so; the next call has a fresh process."""
    service = start(SOURCE, "slow", timeout=1)
    result = service.invoke("slow", b'{"seconds": 30}')
    assert "Task timed out after 1.00 seconds" in result.payload.decode()
    assert service.pids("slow") == []
    after = service.invoke("slow", b'{"seconds": 0}')
    assert after.error is None


def test_a_module_that_can_not_be_imported_says_why(start: Callable[..., LambdaService]) -> None:
    """An error at import is the answer of the invocation, and of warming up."""
    service = start("raise RuntimeError('set POOL_TARGET')", "echo")
    result = service.invoke("echo", b"{}")
    assert result.error == "Unhandled"
    assert "set POOL_TARGET" in result.payload.decode()
    assert "set POOL_TARGET" in service.warm()["echo"].payload.decode()


def test_a_function_that_is_not_there_is_told_apart(start: Callable[..., LambdaService]) -> None:
    """A wrong name is the caller's mistake, not a failed invocation."""
    with pytest.raises(UnknownFunction):
        start(SOURCE, "echo").invoke("other", b"{}")


def test_stopping_leaves_no_process(start: Callable[..., LambdaService]) -> None:
    """After stop every process is gone, warm ones too, and calls are refused."""
    service = start(SOURCE, "echo", "slow")
    assert service.warm() == {}
    pids = service.pids("echo") + service.pids("slow")
    service.stop()
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert b"stopping" in service.invoke("echo", b"{}").payload


def test_what_a_function_prints_is_in_its_log(
    start: Callable[..., LambdaService], tmp_path: Path
) -> None:
    """Output is appended to the function's log, with a line for each invocation."""
    service = start(SOURCE, "fail")
    service.invoke("fail", b"{}")
    log = (tmp_path / "fail.log").read_text(encoding="utf-8")
    assert "it is broken" in log
    assert "REPORT RequestId" in log
