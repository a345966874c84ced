"""Look at every running pool Worker, find what somebody did to it, and have it mended.

Used by the sweep and by the nightly pass. Each Worker is asked through the router what it serves,
and only about one that is not as it was published is the REST API asked. Mending is for the
publisher: here the record is marked, and the publisher woken.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, assert_never

from shared.aws.items import Change
from shared.cloudflare.errors import WorkerNotFound
from shared.domain.budget import Lane
from shared.domain.finding import Severity, Sighting
from shared.domain.names import router_script
from shared.domain.worker import Role, Worker
from shared.domain.worker_watch import (
    Deployed,
    Mend,
    Trouble,
    diagnose,
    is_as_published,
    is_due,
    mend_of,
)
from shared.errors import Conflict, ControlPlaneError
from shared.router.errors import NoAdminDoor, SignatureRefused
from shared.router.models import ServedStatus
from shared.usecases.context import Control
from shared.usecases.outside import Outside

__all__ = ["LookAfterWorkers", "WorkersReport"]

SILENT_AT_ONCE: Final = 3
"""So many may keep a look waiting for an answer; the others' turn comes with the next look."""

log = logging.getLogger("d1fleet")

_SEVERITY: Final = {
    Trouble.NOT_LIVE: Severity.WARNING,
    Trouble.OVERWRITTEN: Severity.ERROR,
    Trouble.MISSING: Severity.CRITICAL,
    Trouble.ROLLOUT: Severity.WARNING,
    Trouble.REFUSED: Severity.ERROR,
    Trouble.UNREACHABLE: Severity.CRITICAL,
    Trouble.UNANSWERED: Severity.ERROR,
    Trouble.FOREIGN: Severity.CRITICAL,
}
_WORDS: Final = {
    Trouble.NOT_LIVE: "does not serve the bindings that were published",
    Trouble.OVERWRITTEN: "was deployed over: its code is not ours",
    Trouble.MISSING: "is gone: somebody deleted the script",
    Trouble.ROLLOUT: "runs another version than the newest: somebody rolls out or rolled back",
    Trouble.REFUSED: "does not take our signature: its admin secret is another, or gone",
    Trouble.UNREACHABLE: "has no address: somebody switched its workers.dev address off",
    Trouble.UNANSWERED: "does not answer, though its settings are as they should be",
    Trouble.FOREIGN: "carries another fleet's uid: give one of the two another FLEET name, "
    "or an account of its own",
}
_STILL_REFUSED: Final = (
    "does not take our signature, though its admin secret was put anew: run `d1fleet init`, "
    "and check the secret router-admin and this side's clock"
)


@dataclass
class WorkersReport:
    """Tell what a look at the pool Workers found.

    `skipped` were not looked at: they are being published, or the router did not answer;
    `unanswered` could not be seen; `marked` will be published anew. `calls` counts what was asked
    of Cloudflare's API.
    """

    sightings: list[Sighting] = field(default_factory=list)
    marked: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    calls: int = 0

    def resolvable(self, open_subjects: Collection[str]) -> tuple[str, ...]:
        """Return the kinds whose open findings are over if this look did not sight them again.

        `open_subjects` are the Workers that have such findings. One that was not seen proves
        nothing, so then none are: the next look tells.
        """
        unseen = {*self.skipped, *self.unanswered}
        return () if unseen & set(open_subjects) else tuple(Trouble)


@dataclass(frozen=True)
class LookAfterWorkers:
    """Look after the pool Workers.

    `may_mend` says which troubles may be mended; of the others a sighting is all that comes.
    """

    control: Control
    outside: Outside
    may_mend: Callable[[Trouble], bool] = lambda _: True

    def __call__(
        self, trace: str, *, real: bool = True, suspects: Collection[str] = ()
    ) -> WorkersReport:
        """Look at each Worker once. If not `real`, nothing is marked and nobody woken.

        Cloudflare is asked about `suspects` in any case: scripts whose newest version somebody saw
        to be another than was published, such as one that gets a small part of the requests. A
        Worker that can't be seen for whatever reason does not keep the others from their turn.
        """
        report = WorkersReport()
        fleet = self.control.settings.fleet
        router = router_script(fleet)
        for script in (router, *(room.script for room in self.control.pools.shards())):
            worker = self.control.state.worker(script)
            if worker is None:
                continue
            silent = len(report.unanswered)
            if router in report.unanswered or silent >= SILENT_AT_ONCE or not self._is_due(worker):
                report.skipped.append(script)
            else:
                self._look(worker, report, real=real, suspect=script in suspects)
            if real:
                # A wake-up costs a read of the table, and no call when there is nothing to do.
                self.control.queues.wake(script, trace)
        return report

    def _is_due(self, worker: Worker) -> bool:
        return is_due(worker, self.control.settings.publish_settle, self.control.now())

    def _look(self, worker: Worker, report: WorkersReport, *, real: bool, suspect: bool) -> None:
        try:
            found = self._trouble_of(worker, report, suspect=suspect)
        except ControlPlaneError as error:
            # Cloudflare can't be asked now: not every look has a permit.
            log.warning("%s was not seen: %s", worker.script, error)
            if worker.script not in report.unanswered:
                report.unanswered.append(worker.script)
            return
        now = self.control.now()
        if found is None:
            if real and worker.silent_since is not None and worker.script not in report.unanswered:
                self._note_silence(worker, None)
            return
        trouble, why = found
        mend = mend_of(trouble, worker, now)
        if mend is None:
            if real and worker.silent_since is None:
                self._note_silence(worker, now)
            return
        may = mend is not Mend.NOTHING and self.may_mend(trouble)
        report.sightings.append(_sighting(worker, trouble, mend if may else Mend.NOTHING, why))
        log.warning("%s %s", worker.script, _WORDS[trouble], extra={"why": why})
        if real and may and self._mark(worker, trouble, mend, now):
            report.marked.append(worker.script)

    def _trouble_of(
        self, worker: Worker, report: WorkersReport, *, suspect: bool
    ) -> tuple[Trouble, str] | None:
        """Ask the running Worker, and Cloudflare only if that is not what it should be."""
        try:
            served = self._ask(worker)
        except (SignatureRefused, NoAdminDoor) as error:
            report.unanswered.append(worker.script)
            found = self._diagnose(worker, report, answers=True)
            # With all as it should be, the secret's value is what can't be seen.
            return Trouble.REFUSED if found is Trouble.NOT_LIVE else found, str(error)
        except ControlPlaneError as error:
            report.unanswered.append(worker.script)
            log.warning("%s was not seen: %s", worker.script, error)
            return self._diagnose(worker, report, answers=False), str(error)
        if served is None:  # the router lacks the binding, which its own look says
            return None
        if self._is_right(worker, served):
            if not suspect:
                return None
            found = self._diagnose(worker, report, answers=True)
            # What serves all that was published is live, so nothing else is found: nothing is.
            return None if found is Trouble.NOT_LIVE else (found, "its newest version is not ours")
        why = f"it serves generation {served.generation}, not {worker.published_generation}"
        if served.generation == worker.published_generation:
            why = "it serves other bindings or code than were published"
        return self._diagnose(worker, report, answers=True), why

    def _ask(self, worker: Worker) -> ServedStatus | None:
        shard = worker.script if worker.role is Role.SHARD else None
        return self.outside.router().status(shard)

    def _is_right(self, worker: Worker, served: ServedStatus) -> bool:
        if worker.role is Role.ROUTER and not self._uploaded() <= set(served.shards):
            return False
        return is_as_published(
            worker,
            generation=served.generation,
            code=served.code,
            bindings_hash=served.bindings_hash,
        )

    def _uploaded(self) -> set[str]:
        rooms = self.control.pools.shards()
        workers = (self.control.state.worker(room.script) for room in rooms)
        return {worker.script for worker in workers if worker and worker.status == "uploaded"}

    def _diagnose(self, worker: Worker, report: WorkersReport, *, answers: bool) -> Trouble:
        uid = self.control.fleet.get().uid
        deployed = self._deployed(worker, report, answers=answers)
        return diagnose(worker, uid, deployed, answers=answers)

    def _deployed(self, worker: Worker, report: WorkersReport, *, answers: bool) -> Deployed | None:
        """Ask Cloudflare what it keeps of a Worker: three calls, or four for a silent router."""
        workers = self.outside.cloudflare().on(Lane.REPAIR).workers
        try:
            report.calls += 1
            bindings = workers.settings(worker.script).bindings
            report.calls += 1
            deployments = workers.deployments(worker.script)
            report.calls += 1
            versions = workers.versions(worker.script)
            asked = worker.role is Role.ROUTER and not self.control.settings.router_url
            has_address = None
            if asked and not answers:
                report.calls += 1
                has_address = workers.script_subdomain(worker.script).enabled
        except WorkerNotFound:
            return None
        active = deployments[0].versions if deployments else ()
        return Deployed(
            bindings=bindings,
            newest=versions[0].id if versions else None,
            shares=tuple((share.version_id, share.percentage) for share in active),
            has_address=has_address,
        )

    def _mark(self, worker: Worker, trouble: Trouble, mend: Mend, now: datetime) -> bool:
        """Have the publisher do what mends it."""
        match mend:
            case Mend.REPUBLISH:
                after = worker.to_publish(now)
            case Mend.UPLOAD:
                after = worker.to_upload(now)
            case Mend.RECREATE:
                after = worker.to_recreate(now)
            case Mend.NOTHING:
                return False
            case _:
                assert_never(mend)
        line = self.control.line("overwritten", why=f"{trouble}: {_WORDS[trouble]}")
        try:
            self.control.state.commit(Change(worker, after, line))
        except Conflict:
            log.info("%s was moved meanwhile, the next look sees", worker.script)
            return False
        return True

    def _note_silence(self, worker: Worker, since: datetime | None) -> None:
        after = worker.noted(self.control.now(), silent_since=since)
        try:
            self.control.state.commit(Change(worker, after))
        except Conflict:
            log.info("%s was moved meanwhile, the next look sees", worker.script)


def _sighting(worker: Worker, trouble: Trouble, mend: Mend, why: str) -> Sighting:
    refused = trouble is Trouble.REFUSED and mend is Mend.NOTHING
    return Sighting(
        kind=trouble.value,
        subject=worker.script,
        severity=_SEVERITY[trouble],
        summary=f"{worker.script} {_STILL_REFUSED if refused else _WORDS[trouble]}",
        repair=mend.value,
        evidence={"script": worker.script, "published": worker.published_generation, "why": why},
    )
