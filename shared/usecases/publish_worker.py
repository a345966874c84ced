"""The one writer of a pool Worker's bindings. Called for every message of the bind queue.

It publishes what the table says, all at once and with a generation; reads it back; asks the running
Worker whether it serves it; and only then wakes the databases that waited. A message does at most
one publish and asks once: what is not so yet is asked again by the next message.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from shared.aws.items import Change, slot_update
from shared.aws.table import Update
from shared.cloudflare.errors import (
    BoundDatabaseMissing,
    CloudflareConflict,
    InvalidBinding,
    WorkerNotFound,
)
from shared.domain.budget import Lane
from shared.domain.messages import Message
from shared.domain.names import is_binding, router_script
from shared.domain.outcomes import Done, Outcome
from shared.domain.worker import (
    CODE,
    FLEET_UID,
    GENERATION,
    AskRunning,
    Binding,
    MarkGone,
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
    missing_bindings,
    plan_publish,
)
from shared.errors import Conflict, NoPermit, Permanent, Transient
from shared.usecases.context import Control, backoff
from shared.usecases.leave_out_missing import leave_out_missing
from shared.usecases.mark_live import mark_gone, mark_live
from shared.usecases.outside import Outside
from shared.usecases.send_bindings import SendBindings, Standing, standing_of
from shared.usecases.wait_for_worker import (
    count_failure,
    give_up,
    wait_for_people,
    wait_for_worker,
)
from shared.usecases.wanted_bindings import Wanted, wanted_of
from shared.usecases.worker_code import WorkerCode

__all__ = ["PublishWorker"]

STEPS: Final = 8
ASK_AGAIN: Final = 1.0
ASK_AT_LEAST: Final = 60.0
NOT_LIVE_ALERT: Final = 600.0
MOST_WRITES: Final = 100

log = logging.getLogger("d1fleet")


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
        if worker.unfinished and worker.wake_at is not None and control.now() < worker.wake_at:
            # Somebody waits already for it to settle: looking costs a call each time.
            return Done()
        try:
            return self._steps(worker, message.trace)
        except WorkerNotFound:
            return self._begin_anew(worker)
        except CloudflareConflict as error:
            return self._failed(worker, Transient(str(error)))
        except Conflict as conflict:
            log.info("looking at %s again: %s", worker.script, conflict.condition)
            return wait_for_worker(self.control, worker, 1.0, conflict.condition)
        except NoPermit as error:
            return wait_for_worker(control, worker, max(1.0, error.retry_after or 0), str(error))
        except Transient as error:
            return self._failed(worker, error)
        except Permanent as error:
            return give_up(control, worker, type(error).__name__, error.reason)

    def _failed(self, worker: Worker, error: Transient) -> Outcome:
        """Wait longer with each failure in a row."""
        failures = worker.failures + 1
        count_failure(self.control, worker, failures)
        seconds = backoff(failures, error.retry_after)
        return wait_for_worker(self.control, worker, seconds, str(error))

    def _steps(self, worker: Worker, trace: str) -> Outcome:
        looked = False
        wanted = wanted_of(self.control, self.outside, worker)
        code = self.code.hash_of(worker.role)
        for _ in range(STEPS):
            action = plan_publish(
                worker,
                desired=wanted.content,
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
                    wanted = wanted_of(self.control, self.outside, worker)
                case AskRunning():
                    seen = self._ask(worker)
                    if seen is None:
                        return self._ask_later(worker)
                    worker = seen
                case MarkLive(ulids=ulids):
                    mark_live(self.control, worker.script, wanted.slots, ulids, trace)
                    wanted = wanted_of(self.control, self.outside, worker)
                case MarkGone(ulids=ulids):
                    mark_gone(self.control, worker.script, wanted.slots, ulids, trace)
                    wanted = wanted_of(self.control, self.outside, worker)
                case _:
                    assert_never(action)
        return wait_for_worker(
            self.control, worker, ASK_AGAIN, "more to do than one attempt has steps"
        )

    def _ask_later(self, worker: Worker) -> Outcome:
        """Ask again, the later the longer it takes; after a while a person should look."""
        now = self.control.now()
        waited = (now - (worker.published_at or now)).total_seconds()
        seconds = min(ASK_AT_LEAST, max(ASK_AGAIN, waited / 10))
        why = f"the running Worker is older than generation {worker.published_generation}"
        if waited > NOT_LIVE_ALERT:
            return wait_for_people(self.control, worker, "generation_not_live", why, seconds)
        return wait_for_worker(self.control, worker, seconds, why)

    def _begin_anew(self, worker: Worker) -> Outcome:
        """Upload a Worker again that somebody deleted; what it is bound to is in the table."""
        current = self.control.state.worker(worker.script) or worker
        line = self.control.line("uploaded anew", why="the script was not there")
        after = current.to_recreate(self.control.now())
        self.control.state.commit(Change(current, after, line))
        return wait_for_worker(self.control, after, 1.0, "the script was not there")

    def _texts(self, worker: Worker, generation: int, code: str) -> dict[str, str]:
        return {
            GENERATION: str(generation),
            FLEET_UID: self.control.fleet.get().uid,
            "D1FLEET_SCRIPT": worker.script,
            CODE: code,
        }

    # Publishing

    def _publish(
        self, worker: Worker, wanted: Wanted, code: str, trace: str, *, upload: bool
    ) -> Worker:
        workers = self.outside.cloudflare().on(self._lane(wanted)).workers
        uid = self.control.fleet.get().uid
        try:
            standing = standing_of(workers, worker, uid)
        except WorkerNotFound:
            if not upload:
                raise
            standing = Standing()
        self._refuse_other_fleet(worker, standing, uid)
        # Only now: what is written down before the first call that can fail would have to settle.
        worker = self._begin(worker, wanted, standing)
        texts = self._texts(worker, worker.generation, code)
        on_workers_dev = not self.control.settings.router_url  # unless the user gave it a route
        send = SendBindings(workers, self.code, uid, on_workers_dev)
        try:
            sent = send(worker, wanted, texts, standing, upload=upload)
        except BoundDatabaseMissing as error:
            slots, said = wanted.slots, str(error)
            leave_out_missing(self.control, self.outside, worker.script, slots, said, trace)
            raise Transient("a database of the set was not found", retry_after=5) from error
        except InvalidBinding as error:
            raise Permanent(
                f"Cloudflare refuses the bindings of {worker.script}: {error}"
            ) from error
        seen = workers.settings(worker.script).bindings
        return self._confirmed(worker, wanted, code, sent=sent, seen=seen, trace=trace)

    def _begin(self, worker: Worker, wanted: Wanted, standing: Standing) -> Worker:
        """Write down the next generation, and in each new slot that this one contains it.

        It is above the running one, too: the table may have been restored to an earlier time.
        """
        now = self.control.now()
        after = worker.changed(
            now,
            generation=max(worker.generation, standing.generation) + 1,
            settle_until=now + self.control.settings.publish_settle,
            failures=worker.failures,
        )
        self.control.state.commit(Change(worker, after))
        marks = [
            mark
            for slot in wanted.slots
            if (mark := _mark(worker.script, slot, after.generation)) is not None
        ]
        for start in range(0, len(marks), MOST_WRITES):
            self.control.state.table.transact(marks[start : start + MOST_WRITES])
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
            published_hash=content_hash(wanted.content),
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

    @staticmethod
    def _refuse_other_fleet(worker: Worker, standing: Standing, uid: str) -> None:
        """Refuse to touch a script that carries another fleet's uid, or that we never uploaded."""
        if not standing.newest:
            return
        # A deployment by hand drops our texts; then the record says that the script is ours.
        was_ours = bool(worker.code) or worker.remade > 0
        known = standing.uids == {uid} if standing.uids else was_ours
        if not known:
            raise Permanent(
                f"a Worker named {worker.script} exists and is not this fleet's: give this stack "
                "another FLEET name, or an account of its own"
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
        # What was in its way is not: what stays written there would be told of for ever.
        live = worker.published_generation
        after = worker.changed(self.control.now(), live_generation=live, reason=None)
        self.control.state.commit(Change(worker, after))
        log.info("%s serves generation %d", worker.script, served.generation)
        return after

    def _wake_router(self, trace: str) -> None:
        for_router = router_script(self.control.settings.fleet)
        self.control.queues.wake(for_router, trace)

    @staticmethod
    def _lane(wanted: Wanted) -> Lane:
        # Above the refill: what it makes is of no use before it is bound.
        return Lane.SIGNUP if wanted.urgent else Lane.REPAIR


def _mark(script: str, slot: Slot, generation: int) -> Update | None:
    """Return the write that says since which generation a slot is in or out, if that is new.

    It fails when the slot was turned round meanwhile: then what was going to be sent is not what
    should be any more.
    """
    if slot.leaving and slot.left_generation is None:
        turned = {"leaving": True, "left_generation": None}
        return slot_update(script, slot.ulid, expected=turned, left_generation=generation)
    if not slot.leaving and slot.generation is None and slot.database_id is not None:
        turned = {"leaving": False, "generation": None}
        return slot_update(script, slot.ulid, expected=turned, generation=generation)
    return None
