"""Keep a class's pool at its target, and begin a database for every tenant that waits for one.

One refill at a time per class: many messages ask, one works, and it looks again before it lets go.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.aws.items import Change, new_ulid, slot_put
from shared.aws.pools import Pools, ShardRoom
from shared.aws.table import Write
from shared.domain.database import MAKING, Database, DatabaseStatus
from shared.domain.messages import Message
from shared.domain.names import binding_name, database_name, shard_script
from shared.domain.outcomes import Done, Outcome
from shared.domain.plan import plan_refill
from shared.domain.tenant import TenantStatus
from shared.domain.worker import Role, Slot, Worker
from shared.errors import Conflict
from shared.usecases.context import Control
from shared.usecases.try_again import tried_again

__all__ = ["SETTLED", "RefillPool", "open_shard", "shard_with_room"]

BATCH: Final = 25
"""Databases whose records are written in one transaction, which takes 100 items."""
AT_ONCE: Final = 200
"""Databases that one message begins: more might not be done within the function's time."""
ROUNDS: Final = 8
SETTLED: Final = timedelta(seconds=2)
"""How much older than a look a message must be: clocks differ, and indexes lag a little."""
INDEX_LAG: Final = timedelta(seconds=30)
"""What was begun longer ago than this is in the indexes."""
PROBE_AFTER: Final = timedelta(minutes=15)
WAITING_SEEN: Final = 2000

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class RefillPool:
    """Refill pools. `capacity` slots a shard is the setting `SHARD_CAPACITY`.

    `asked_at` is when the message was sent: a look that began well after it has seen what the
    message speaks of.
    """

    control: Control
    asked_at: datetime | None = None

    def __call__(self, message: Message) -> Outcome:
        """Begin what the pool of a class lacks, batch by batch."""
        control, class_ = self.control, message.id
        if class_ not in control.settings.database_classes:
            log.warning("no such class of databases: %s", class_)
            return Done()
        control.fleet.get()  # nothing is made before the fleet is ours
        if self._was_looked_at(class_):
            return Done()
        control.pools.ask(class_)
        lease = control.pools.lease(class_, control.now())
        if lease is None:
            return Done()
        if lease.inherited:
            self._wake_forgotten(class_, message.trace)
        begun = list(lease.recent)
        for _ in range(ROUNDS):
            looked_at = control.now()
            try:
                more = self._round(class_, begun, message.trace)
            except Conflict as conflict:
                log.info("the refill looks again: %s", conflict.condition)
                continue
            if not more and control.pools.release(lease, self._recent(begun), looked_at):
                return Done()
            if len(begun) - len(lease.recent) >= AT_ONCE:
                break
            lease = control.pools.wanted(lease)
        # Let go first: a message that comes while the lease is held is taken for done.
        control.pools.let_go(lease, self._recent(begun))
        control.enqueue("pool", class_, trace=message.trace)
        return Done()

    def _was_looked_at(self, class_: str) -> bool:
        """Say whether this message asks for what was done already: hundreds may ask at once."""
        if self.asked_at is None:
            return False
        looked_at = self.control.pools.looked_at(class_)
        return looked_at is not None and looked_at > self.asked_at + SETTLED

    def _recent(self, begun: Sequence[str]) -> list[str]:
        """Return what the indexes may not show yet: a ULID says when it was made."""
        oldest = new_ulid(self.control.now() - INDEX_LAG)
        return [ulid for ulid in begun if ulid > oldest]

    def _round(self, class_: str, begun: list[str], trace: str) -> bool:
        """Look what is lacking and begin it, adding it to `begun`; say whether to look again.

        Raises:
            Conflict: something was moved by somebody else meanwhile; what began is in `begun`.
        """
        blocked = self.control.pools.blocked(class_)
        if blocked is not None:
            if self.control.now() - blocked.since < PROBE_AFTER:
                return False
            begun += self._probe(class_, blocked.reason, trace)
            # One is enough for this refill: the others follow once it is ready.
            return False
        if revived := self._revive(class_, BATCH, trace):
            begun += revived
            return True
        lacking = self._lacking(class_, self._recent(begun))
        first = len(begun)
        while len(begun) - first < lacking:
            begun += self._begin(class_, min(BATCH, lacking - len(begun) + first), trace)
        return lacking > 0

    def _lacking(self, class_: str, recent: Sequence[str]) -> int:
        state = self.control.state
        making = {
            db.ulid
            for status in MAKING
            for db in state.databases(class_, status)
            if db.owner is None  # a restore's comes to its tenant alone
        }
        ready = {db.ulid for db in state.databases(class_, DatabaseStatus.READY)}
        # The indexes lag: what this refill or the last one began may not show there yet.
        for ulid in set(recent) - making - ready:
            database = state.database(ulid)
            if database is not None and database.status in {*MAKING, DatabaseStatus.READY}:
                making.add(ulid)
        pending = sum(
            tenant.class_ == class_ and not tenant.wants_restore
            for tenant in state.tenants(TenantStatus.PENDING, limit=WAITING_SEEN)
        )
        return plan_refill(
            target=self.control.settings.pool_target,
            pending=pending,
            ready=len(ready),
            making=len(making),
            batch=AT_ONCE,
        )

    def _wake_forgotten(self, class_: str, trace: str) -> None:
        """Wake databases whose refill was killed between their records and their messages.

        Only then: a long queue is no sign of a lost message, and waking what waits in it would make
        it longer.
        """
        forgotten = [
            database.ulid
            for database in self.control.state.databases(class_, DatabaseStatus.CREATING)
            if database.attempts == 0 and database.token is None
        ]
        self.control.enqueue("database", *forgotten, trace=trace)

    def _begin(self, class_: str, count: int, trace: str) -> list[str]:
        """Write the records of new databases, with their slots, before anything is created."""
        control = self.control
        capacity = control.settings.shard_capacity
        room = shard_with_room(control, trace)
        count = min(count, capacity - room.used)
        changes: list[Change] = []
        also: list[Write] = [Pools.take_slots(room.script, count, capacity)]
        ulids: list[str] = []
        for _ in range(count):
            now = control.now()
            ulid = new_ulid(now)
            database = Database(
                ulid=ulid,
                name=database_name(control.settings.fleet, ulid),
                status=DatabaseStatus.CREATING,
                class_=class_,
                shard=room.script,
                created_at=now,
                updated_at=now,
                status_since=now,
            )
            changes.append(Change(None, database))
            also.append(slot_put(room.script, Slot(ulid=ulid, binding=binding_name(ulid))))
            ulids.append(ulid)
        control.state.commit(*changes, also=also)
        control.enqueue("database", *ulids, trace=trace)
        return ulids

    # After a block

    def _probe(self, class_: str, reason: str, trace: str) -> list[str]:
        """Try with one database whether what stopped the pool is mended."""
        log.info("trying one database of class %s again: %s", class_, reason)
        self.control.pools.block(class_, reason, self.control.now())
        return self._revive(class_, 1, trace) or self._begin(class_, 1, trace)

    def _revive(self, class_: str, limit: int, trace: str) -> list[str]:
        """Send quarantined databases of the pool on their way again, where they stopped."""
        control = self.control
        ulids: list[str] = []
        for hint in control.state.databases(class_, DatabaseStatus.QUARANTINED):
            database = control.state.database(hint.ulid)
            if len(ulids) == limit:
                break
            if database is None or database.retry_as is None or database.owner is not None:
                continue
            line = control.line("tried again", why=database.reason or "", trace=trace)
            change, also = tried_again(control, database, database.retry_as, line)
            try:
                control.state.commit(change, also=also)
            except Conflict:
                continue
            ulids.append(database.ulid)
        control.enqueue("database", *ulids, trace=trace)
        return ulids


def shard_with_room(control: Control, trace: str) -> ShardRoom:
    """Return the first shard with a free slot; open the next one if all are full."""
    rooms = control.pools.shards()
    for room in rooms:
        if room.used < control.settings.shard_capacity:
            return room
    return open_shard(control, rooms[-1].number + 1 if rooms else 1, trace)


def open_shard(control: Control, number: int, trace: str) -> ShardRoom:
    """Write the next shard down; its publisher uploads it, and databases may be made meanwhile."""
    script = shard_script(control.settings.fleet, number)
    now = control.now()
    shard = Worker(
        script=script,
        role=Role.SHARD,
        number=number,
        created_at=now,
        updated_at=now,
        status_since=now,
    )
    try:
        control.state.commit(Change(None, shard), also=[Pools.new_shard(script, number)])
    except Conflict:
        log.info("somebody else opened %s", script)
    control.queues.wake(script, trace)
    return ShardRoom(script, number, 0)
