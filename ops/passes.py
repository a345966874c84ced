"""Passes of the reconciler, as whoever has them done from outside sees them."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.config import Config

from ops.context import FUNCTION_OUTPUT, Deployment
from ops.program import Failed
from shared.aws.runs import Runs, connect_runs
from shared.usecases.drift_report import read_report

__all__ = ["Passes"]

_ONCE: Final = Config(connect_timeout=5, read_timeout=300, retries={"total_max_attempts": 1})
"""A pass takes up to four minutes, and asking twice would only make two of them."""
PATIENCE: Final = 120.0
"""Seconds to wait for repairs; what takes longer is seen to by the sweep."""
ENDED: Final = ("done", "given_up")
LOOKS: Final = (2.0, 3.0, 5.0, 10.0)


@dataclass(frozen=True)
class Passes:
    """Have the deployment's reconcile function work; `say` is told how a pass stands."""

    deployment: Deployment
    say: Callable[[str], None] = lambda _: None
    looks: tuple[float, ...] = LOOKS

    @property
    def runs(self) -> Runs:
        """Return the store of the passes and their reports."""
        state = self.deployment.parts.control.state
        return connect_runs(state.table, self.deployment.settings.bucket_name)

    def sweep(self) -> dict[str, Any]:
        """Have done what is done every five minutes; return what it found."""
        return self._invoke({"task": "sweep"})

    def whole(self, *, dry: bool) -> dict[str, Any]:
        """Have a pass done, over as many invocations as it takes; return its report.

        One that repairs is waited for until its repairs were seen to help, for two minutes.
        """
        payload: dict[str, Any] = {"task": "nightly", "dry": dry}
        self.say("comparing")
        while True:
            answer = self._invoke(payload)
            if answer["state"] in ENDED:
                break
            payload = {"task": "nightly", "run": answer["run"]}
            self.say(f"comparing: {answer['state']}, next {answer['step'] or 'the rest'}")
            time.sleep(float(answer["retry_after"]))
        if not dry and answer["repaired"]:
            self._settle(answer["run"])
        return read_report(self.runs, answer["report"])

    def _settle(self, run_id: str) -> None:
        end = time.monotonic() + PATIENCE
        looks = iter(self.looks)
        while True:
            answer = self._invoke({"task": "settle", "run": run_id})
            if answer["waiting"] == 0 or time.monotonic() > end:
                return
            self.say(f"repairing: {answer['waiting']} to go")
            time.sleep(next(looks, self.looks[-1]))

    def _invoke(self, payload: dict[str, Any]) -> dict[str, Any]:
        function = self.deployment.output(FUNCTION_OUTPUT)
        api = boto3.client("lambda", config=_ONCE)
        answer = api.invoke(FunctionName=function, Payload=json.dumps(payload).encode())
        try:
            report = json.loads(answer["Payload"].read() or b"null")
        except ValueError as error:
            raise Failed(f"function {function} answered no JSON: see its log") from error
        if "FunctionError" in answer:
            said = report.get("errorMessage", "") if isinstance(report, dict) else ""
            raise Failed(f"function {function} failed: {said or 'see its log'}")
        return report if isinstance(report, dict) else {"report": report}
