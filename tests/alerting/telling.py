"""What tests of alerts say: that something is seen, that an alert is made, that all is told."""

from typing import Any

from shared.aws.table import Put
from shared.domain.finding import Severity, Sighting
from shared.errors import ControlPlaneError
from shared.usecases.alerts import alert_put
from shared.usecases.findings import FindingsReport
from shared.usecases.tell import Tell, TellReport
from tests.alerting.conftest import Desk

KIND = "binding_missing"
POINT = "webhook_dead_lettered"
FIRING, RESOLVED = f"[FIRING] {KIND}", f"[RESOLVED] {KIND}"


def sightings(count: int, kind: str = KIND) -> list[Sighting]:
    return [
        Sighting(kind, f"db-{number}", Severity.ERROR, f"database {number} is not bound")
        for number in range(count)
    ]


def look(desk: Desk, count: int, **more: Any) -> FindingsReport:
    """A real pass that compared the kind and saw so many, and told of them."""
    report = desk.keep(sightings(count), compared={KIND}, trace="t", **more)
    tell(desk)
    return report


def tell(desk: Desk) -> TellReport:
    return Tell(desk.control, desk.channels)("t")


def make(desk: Desk, kind: str = POINT, subject: str = "one") -> Put:
    """An alert, committed as a use case does."""
    put = alert_put(
        desk.control.now(),
        kind=kind,
        severity="warning",
        subject=subject,
        summary=f"{subject} was kept aside",
    )
    desk.control.state.table.write(put)
    return put


def everywhere(desk: Desk) -> list[list[str]]:
    return [channel.said for channel in desk.channels]


def once(error: ControlPlaneError) -> Any:
    """Fail with this the first time."""
    errors = [error]
    return lambda _: errors.pop() if errors else None
