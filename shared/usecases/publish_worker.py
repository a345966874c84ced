"""The one writer of a pool Worker's bindings. Called for every message of the bind queue.

It publishes what the table says, all at once and with a generation; reads it back; asks the running
Worker whether it serves it; and only then wakes the databases that waited. A message does at most
one publish and asks once: what is not so yet is asked again by the next message.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from shared.aws.items import Change, slot_put
from shared.aws.table import Condition, Update
from shared.cloudflare.errors import (
    BoundDatabaseMissing,
    InvalidBinding,
    VersionNotDeployed,
    WorkerNotFound,
)
from shared.cloudflare.workers import Workers
from shared.domain.budget import Lane
from shared.domain.database import DatabaseStatus
from shared.domain.messages import Message
from shared.domain.names import is_binding, router_script
from shared.domain.outcomes import Done, Outcome
from shared.domain.tenant import TenantStatus
from shared.domain.worker import (
    GENERATION,
    AskRunning,
    Binding,
    MarkLive,
    NothingToPublish,
    Publish,
    ReadBack,
    Role,
    Slot,
    Upload,
    WaitToPublish,
    Worker,
    bindings_hash,
    content_hash,
    merge_bindings,
    missing_bindings,
    plan_publish,
)
from shared.errors import Conflict, Permanent, Transient
from shared.usecases.context import Control, backoff
from shared.usecases.mark_live import mark_live
from shared.usecases.outside import Outside
from shared.usecases.wait_for_worker import (
    count_failure,
    give_up,
    wait_for_people,
    wait_for_worker,
)
from shared.usecases.worker_code import WorkerCode

__all__ = ["PublishWorker"]

STEPS: Final = 8
DIRECTORY: Final = "D1FLEET_DIRECTORY"
ASK_AGAIN: Final = 1.0

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class Wanted:
    """What a pool Worker should have: `bindings` by name, `leaving` to be dropped.

    `secrets` are put where they are missing and otherwise left alone.
    """

    bindings: Mapping[str, Binding]
    leaving: frozenset[str]
    slots: tuple[Slot, ...]
    urgent: bool
    secrets: Mapping[str, Callable[[], str]] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishWorker:
    """Publish pool Workers."""

    control: Control
    outside: Outside
    code: WorkerCode

    def __call__(self, message: Message) -> Outcome:
        """Do what can be done now for the pool Worker that a message names."""
        control = self.control
        worker = control.state.worker(message.id)
        if worker is None:
            log.warning("no such pool Worker: %s", message.id)
            return Done()
        try:
            return self._steps(worker, message.trace)
        except WorkerNotFound:
            return self._begin_anew(worker)
        except Conflict as conflict:
            log.info("looking at %s again: %s", worker.script, conflict.condition)
            return wait_for_worker(self.control, worker, 1.0, conflict.condition)
        except VersionNotDeployed as error:
            return wait_for_people(control, worker, str(error))
        except Transient as error:
            failures = worker.failures + 1
            count_failure(control, worker, failures)
            return wait_for_worker(
                self.control, worker, backoff(failures, error.retry_after), str(error)
            )
        except Permanent as error:
            return give_up(control, worker, error.reason)

    def _steps(self, worker: Worker, trace: str) -> Outcome:
        looked = False
        wanted = self._wanted(worker)
        code = self.code.hash_of(worker.role)
        for _ in range(STEPS):
            action = plan_publish(
                worker,
                desired=wanted.bindings,
                slots=wanted.slots,
                code=code,
                urgent=wanted.urgent,
                looked=looked,
                now=self.control.now(),
            )
            match action:
                case NothingToPublish():
                    return Done()
                case WaitToPublish(seconds=seconds, why=why):
                    return wait_for_worker(self.control, worker, seconds, why)
                case ReadBack():
                    looked = True
                    worker = self._read_back(worker, wanted, code, trace)
                case Upload() | Publish():
                    upload = isinstance(action, Upload)
                    worker = self._publish(worker, wanted, code, trace, upload=upload)
                    wanted = self._wanted(worker)
                case AskRunning():
                    seen = self._ask(worker)
                    if seen is None:
                        return wait_for_worker(
                            self.control, worker, ASK_AGAIN, "the running Worker is older"
                        )
                    worker = seen
                case MarkLive(ulids=ulids):
                    mark_live(self.control, worker.script, wanted.slots, ulids, trace)
                    wanted = self._wanted(worker)
                case _:
                    assert_never(action)
        return wait_for_worker(
            self.control, worker, ASK_AGAIN, "more to do than one attempt has steps"
        )

    def _begin_anew(self, worker: Worker) -> Outcome:
        """Upload a Worker again that somebody deleted; what it is bound to is in the table."""
        current = self.control.state.worker(worker.script) or worker
        line = self.control.line("uploaded anew", why="the script was not there")
        after = current.changed(self.control.now(), code="", published_hash="")
        self.control.state.commit(Change(current, after, line))
        return wait_for_worker(self.control, after, 1.0, "the script was not there")

    # What should be

    def _wanted(self, worker: Worker) -> Wanted:
        if worker.role is Role.ROUTER:
            return self._wanted_of_router()
        slots = tuple(self.control.state.slots(worker.script))
        bindings = {
            slot.binding: {
                "type": "d1",
                "name": slot.binding,
                "database_id": slot.database_id,
                "id": slot.database_id,
            }
            for slot in slots
            if slot.database_id is not None and not slot.leaving
        }
        leaving = frozenset(slot.binding for slot in slots if slot.leaving)
        waiting = any(not slot.live and slot.database_id is not None for slot in slots)
        urgent = waiting and self._somebody_waits()
        return Wanted(bindings, leaving, slots, urgent)

    def _wanted_of_router(self) -> Wanted:
        directory_id = self.control.fleet.get().directory_id
        bindings: dict[str, Binding] = {
            DIRECTORY: {
                "type": "d1",
                "name": DIRECTORY,
                "database_id": directory_id,
                "id": directory_id,
            }
        }
        for room in self.control.pools.shards():
            shard = self.control.state.worker(room.script)
            # A binding to a script that is not there yet would be refused.
            if shard is not None and shard.status == "uploaded":
                name = f"SHARD_{room.number}"
                bindings[name] = {"type": "service", "name": name, "service": room.script}
        secrets = {"D1FLEET_ADMIN_SECRET": self.outside.admin_secret}
        return Wanted(bindings, frozenset(), (), urgent=True, secrets=secrets)

    def _somebody_waits(self) -> bool:
        return any(True for _ in self.control.state.tenants(TenantStatus.PENDING, limit=1))

    def _texts(self, worker: Worker, generation: int, code: str) -> dict[str, str]:
        return {
            GENERATION: str(generation),
            "D1FLEET_FLEET_UID": self.control.fleet.get().uid,
            "D1FLEET_SCRIPT": worker.script,
            "D1FLEET_CODE": code,
        }

    # Publishing

    def _publish(
        self, worker: Worker, wanted: Wanted, code: str, trace: str, *, upload: bool
    ) -> Worker:
        worker = self._begin(worker, wanted)
        texts = self._texts(worker, worker.generation, code)
        workers = self.outside.cloudflare().on(self._lane(wanted)).workers
        existing = [] if not worker.code else workers.settings(worker.script).bindings
        self._refuse_other_fleet(existing, texts["D1FLEET_FLEET_UID"])
        sent = merge_bindings(existing, wanted.bindings, wanted.leaving, texts)
        there = {binding["name"] for binding in existing}
        sent += [
            {"type": "secret_text", "name": name, "text": secret()}
            for name, secret in wanted.secrets.items()
            if name not in there
        ]
        note = f"d1fleet generation {worker.generation}"
        try:
            if upload:
                self.code.upload(workers, worker.role, worker.script, sent, note)
                self._give_address(workers, worker)
            else:
                workers.patch_settings(worker.script, sent, message=note)
        except BoundDatabaseMissing as error:
            self._leave_out_missing(worker, wanted, str(error))
            raise Transient("a database of the set was not found", retry_after=5) from error
        except InvalidBinding as error:
            raise Permanent(
                f"Cloudflare refuses the bindings of {worker.script}: {error}"
            ) from error
        seen = workers.settings(worker.script).bindings
        return self._confirmed(worker, wanted, code, sent=sent, seen=seen, trace=trace)

    def _begin(self, worker: Worker, wanted: Wanted) -> Worker:
        """Write down the next generation, and in each new slot that this one contains it."""
        now = self.control.now()
        after = worker.changed(
            now,
            generation=worker.generation + 1,
            settle_until=now + self.control.settings.publish_settle,
            failures=worker.failures,
        )
        self.control.state.commit(Change(worker, after))
        for slot in wanted.slots:
            if slot.database_id is not None and slot.generation is None and not slot.leaving:
                self.control.state.table.write(
                    Update(
                        {"pk": f"WORKER#{worker.script}", "sk": f"DB#{slot.ulid}"},
                        "SET generation = :generation",
                        values={":generation": after.generation},
                        condition=Condition("the slot is there", "attribute_exists(pk)"),
                    )
                )
        return after

    def _confirmed(
        self,
        worker: Worker,
        wanted: Wanted,
        code: str,
        *,
        sent: Sequence[Binding],
        seen: Sequence[Binding],
        trace: str,
    ) -> Worker:
        """Write down that a publish was read back as it was sent."""
        wrong = missing_bindings(sent, seen, wanted.leaving)
        if wrong:
            raise Transient(f"{len(wrong)} bindings read back wrong, the first is {wrong[0]}")
        now = self.control.now()
        served = [str(binding["name"]) for binding in seen if is_binding(str(binding["name"]))]
        was_new = not worker.code
        after = worker.changed(
            now,
            code=code,
            published_generation=worker.generation,
            published_hash=content_hash(wanted.bindings),
            served_hash=bindings_hash(served),
            published_at=now,
            settle_until=None,
            reason=None,
        )
        self.control.state.commit(Change(worker, after))
        log.info("published %s, generation %d", worker.script, worker.generation)
        if was_new and worker.role is Role.SHARD:
            self._wake_router(trace)
        return after

    def _read_back(self, worker: Worker, wanted: Wanted, code: str, trace: str) -> Worker:
        """Look whether the publish that wrote down no end did commit; if so, it counts."""
        lane = self._lane(wanted)
        try:
            seen = self.outside.cloudflare().on(lane).workers.settings(worker.script)
        except WorkerNotFound:
            return worker
        texts = {str(b["name"]): b.get("text") for b in seen.bindings if b["type"] == "plain_text"}
        ours = self._texts(worker, worker.generation, code)
        if any(texts.get(name) != text for name, text in ours.items()):
            return worker
        sent = [*wanted.bindings.values()]
        if missing_bindings(sent, seen.bindings, wanted.leaving):
            return worker
        return self._confirmed(worker, wanted, code, sent=sent, seen=seen.bindings, trace=trace)

    def _give_address(self, workers: Workers, worker: Worker) -> None:
        """Let the router, and it alone, answer on workers.dev; unless the user gave it a route."""
        on_workers_dev = not self.control.settings.router_url
        if worker.role is Role.ROUTER:
            workers.set_script_subdomain(worker.script, enabled=on_workers_dev)

    def _refuse_other_fleet(self, existing: Sequence[Binding], uid: str) -> None:
        for binding in existing:
            if binding["name"] == "D1FLEET_FLEET_UID" and binding.get("text") != uid:
                raise Permanent(
                    "this pool Worker belongs to another fleet: give this stack a FLEET name of "
                    "its own, or an account of its own"
                )

    def _leave_out_missing(self, worker: Worker, wanted: Wanted, message: str) -> None:
        """Find which database of the set D1 does not have, and leave it out of the next publish."""
        d1 = self.outside.cloudflare().on(Lane.REPAIR).d1
        for slot in wanted.slots:
            named = slot.database_id is not None and slot.database_id in message
            fresh = slot.database_id is not None and not slot.live
            if not named and not fresh:
                continue
            if slot.database_id is None or d1.get(slot.database_id) is not None:
                continue
            database = self.control.state.database(slot.ulid)
            if database is None:
                continue
            reason = "D1 says that this database does not exist"
            after = database.moved(DatabaseStatus.QUARANTINED, self.control.now(), reason=reason)
            gone = slot.model_copy(update={"leaving": True})
            self.control.state.commit(
                Change(database, after, self.control.line("quarantined", why=reason)),
                also=[slot_put(worker.script, gone)],
            )

    # Seeing it live

    def _ask(self, worker: Worker) -> Worker | None:
        """Ask the running Worker once; return the record if it serves what was published."""
        shard = worker.script if worker.role is Role.SHARD else None
        served = self.outside.router().status(shard)
        if served is None:
            self._wake_router("")
            return None
        if served.generation < worker.published_generation:
            return None
        after = worker.changed(self.control.now(), live_generation=worker.published_generation)
        self.control.state.commit(Change(worker, after))
        log.info("%s serves generation %d", worker.script, served.generation)
        return after

    def _wake_router(self, trace: str) -> None:
        for_router = router_script(self.control.settings.fleet)
        self.control.queues.wake(for_router, trace)

    @staticmethod
    def _lane(wanted: Wanted) -> Lane:
        return Lane.SIGNUP if wanted.urgent else Lane.REFILL
