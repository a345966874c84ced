"""Children of the local stack that can't outlive it.

Each child gets the reading end of one pipe as its standard input, its *lifeline*; only the parent
holds the writing end. However the parent dies, even by SIGKILL, the kernel closes that end, and the
child, which watches it, exits. (Linux' parent-death signal would do the same for a while, but it
hangs on the *thread* that forked, and knows no other system.) Children have sessions of their own,
so that a Ctrl-C in the terminal reaches the parent alone, which stops them in order.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Child", "Lifeline", "end_with_parent", "tail"]


class Lifeline:
    """Hold the pipe that ties children to this process; close it and all of them exit."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._open = True

    @property
    def reader(self) -> int:
        """Return the descriptor to give to a child as its standard input."""
        return self._reader

    def close(self) -> None:
        """Let go of every child that still holds on."""
        if self._open:
            self._open = False
            os.close(self._writer)
            os.close(self._reader)


def end_with_parent() -> None:
    """Exit as soon as the process that started this one is gone.

    Called by a child whose standard input is a lifeline.
    """

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(128 + signal.SIGHUP)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


class Child:
    """Run one child process in a session of its own, its output appended to a log file.

    `answers` is a file of its own for standard output, for a child that says something there.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        lifeline: Lifeline,
        log: Path,
        environment: Mapping[str, str],
        directory: Path,
        pass_fds: Sequence[int] = (),
        answers: Path | None = None,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors, (answers or log).open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                stdin=lifeline.reader,
                stdout=output,
                stderr=errors,
                env=dict(environment),
                cwd=directory,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
        self.log = log

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """Return the exit status (negative: the signal), or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit status once it has ended, or None if `timeout` seconds were too few."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it at once, and whatever it started in its session."""
        if self._process.poll() is None:
            self._signal(signal.SIGKILL)

    def stop(self, patience: float) -> None:
        """Ask it to end; kill it when `patience` seconds were not enough."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            if self.wait(patience) is None:
                self._signal(signal.SIGKILL)
                self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # it ended by itself meanwhile, which is what was wanted


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log, to explain why a child ended."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
