"""Children that can't outlive the local stack."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local.processes import Child, Lifeline, tail

ROOT = Path(__file__).parents[2]
OBEDIENT = "from local.processes import end_with_parent; end_with_parent(); import time; {}"
FOREVER = OBEDIENT.format("print('up', flush=True); time.sleep(600)")


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A zombie whose parent was killed is reaped by init in its own time: it runs no more.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def child(lifeline: Lifeline, tmp_path: Path) -> Callable[[str], Child]:
    """Start Python code as a child."""

    def start(code: str) -> Child:
        return Child(
            [sys.executable, "-c", code],
            lifeline=lifeline,
            log=tmp_path / "child.log",
            environment={"PATH": os.environ["PATH"]},
            directory=ROOT,
        )

    return start


def test_a_child_ends_when_its_lifeline_does(
    child: Callable[[str], Child],
    lifeline: Lifeline,
    tmp_path: Path,
    eventually: Callable[..., None],
) -> None:
    """Letting go of the lifeline is enough; nothing has to be sent to the child."""
    started = child(FOREVER)
    eventually(lambda: tail(tmp_path / "child.log") == "up")
    lifeline.close()
    assert started.wait(10) == 128 + signal.SIGHUP


def test_children_end_when_their_parent_is_killed(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """SIGKILL of the parent, which can tidy nothing up: its child is gone soon after."""
    code = f"""
import sys, time
from pathlib import Path
from local.processes import Child, Lifeline
line = Lifeline()
c = Child([sys.executable, "-c", {FOREVER!r}], lifeline=line, log=Path({str(tmp_path / "log")!r}),
          environment={{}}, directory=Path({str(ROOT)!r}))
print(c.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        eventually(lambda: tail(tmp_path / "log") == "up")
        parent.kill()
    eventually(lambda: gone(pid))


def test_a_child_hears_no_signal_of_the_terminal(child: Callable[[str], Child]) -> None:
    """A child is in a session of its own: Ctrl-C reaches the parent alone."""
    started = child(FOREVER)
    assert os.getsid(started.pid) != os.getsid(0)
    started.kill()
    assert started.wait(10) == -signal.SIGKILL


def test_a_child_that_does_not_listen_is_killed(
    child: Callable[[str], Child], tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Stopping asks first, and does not wait for ever."""
    ignoring = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    started = child(ignoring + FOREVER)
    eventually(lambda: tail(tmp_path / "child.log") == "up")
    started.stop(patience=0.2)
    assert started.exit_status == -signal.SIGKILL


def test_stopping_a_child_that_has_ended_is_nothing(child: Callable[[str], Child]) -> None:
    """What has ended already can be stopped and killed again."""
    started = child("pass")
    assert started.wait(10) == 0
    started.stop(1)
    started.kill()
    assert started.exit_status == 0


def test_the_end_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    """A log that is not there has no lines."""
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_text("1\n2\n3\n", encoding="utf-8")
    assert tail(log, 2) == "2\n3"
