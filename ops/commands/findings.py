"""`d1fleet findings …`: what is not as it should be, and since when."""

from collections.abc import Callable
from typing import Final

import click

from ops.options import Run, command
from ops.output import Status
from ops.rows import finding_row
from shared.aws.findings import FindingStore
from shared.domain.finding import Finding, FindingState
from shared.usecases.context import Control
from shared.usecases.findings import ack, resolve_by_hand

__all__ = ["findings"]

COLUMNS: Final = {
    "severity": "severity",
    "kind": "kind",
    "state": "state",
    "summary": "what",
    "first_seen": "since",
    "last_seen": "last seen",
    "repair": "repair",
    "fingerprint": "fingerprint",
}


@click.group()
def findings() -> None:
    """See what is not as it should be, and say that somebody cares."""


@command(findings, "list")
@click.option("--all", "everything", is_flag=True, help="Also what ended within 90 days.")
@click.option("--kind", metavar="KIND", help="Only those of one kind.")
def list_(run: Run, everything: bool, kind: str | None) -> int:
    """List what is not as it should be, the worst and oldest first.

    Ends with status 2 if anything is open, which nobody said they care for.
    """
    store = FindingStore(run.deployment.parts.control.state.table)
    found = [*store.standing(), *(store.resolved() if everything else ())]
    shown = [one for one in found if not one.members and kind in {None, one.kind}]
    shown.sort(key=lambda one: (not one.standing, -one.severity.rank, one.first_seen, one.kind))
    run.output.rows([finding_row(one) for one in shown], COLUMNS, empty="nothing is wrong")
    opened = any(one.state is FindingState.OPEN for one in shown)
    return Status.NEEDS_A_PERSON if opened else Status.DONE


@command(findings, "ack")
@click.argument("fingerprints", metavar="FINGERPRINT…", nargs=-1, required=True)
def ack_(run: Run, fingerprints: tuple[str, ...]) -> int:
    """Say that somebody cares: no more reminders, only if it gets worse and when it is over.

    The fingerprint of a summary means all that it tells of.
    """
    return _each(run, fingerprints, ack)


@command(findings, "resolve")
@click.argument("fingerprints", metavar="FINGERPRINT…", nargs=-1, required=True)
def resolve(run: Run, fingerprints: tuple[str, ...]) -> int:
    """Say that it is over; whatever is seen again opens anew.

    The fingerprint of a summary means all that it tells of.
    """
    return _each(run, fingerprints, resolve_by_hand)


def _each(
    run: Run, fingerprints: tuple[str, ...], act: Callable[[Control, str], Finding | None]
) -> int:
    done = []
    for fingerprint in fingerprints:
        finding = act(run.deployment.parts.control, fingerprint)
        if finding is None:
            run.output.note(f"there is no finding {fingerprint}: see `d1fleet findings list --all`")
        else:
            done.append(finding_row(finding))
    run.output.rows(done, COLUMNS, empty="nothing was done")
    return Status.DONE if len(done) == len(fingerprints) else Status.FAILED
