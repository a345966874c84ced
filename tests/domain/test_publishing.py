"""Pool Workers: which step of a publish comes next, whatever becomes of the last."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.worker import (
    COALESCE_LAZY,
    COALESCE_PAUSE,
    COALESCE_URGENT,
    AskRunning,
    MarkLive,
    NothingToPublish,
    Publish,
    PublishAction,
    ReadBack,
    Role,
    Slot,
    Upload,
    WaitToPublish,
    Worker,
    content_hash,
    plan_publish,
)
from tests.domain.test_worker import d1

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SETTLE = timedelta(seconds=60)


def worker(**more: Any) -> Worker:
    times = {"created_at": NOW, "updated_at": NOW, "status_since": NOW}
    data = {"script": "f-pool-1", "role": Role.SHARD, "number": 1}
    return Worker.model_validate(data | times | more)


def slot(ulid: str, **more: Any) -> Slot:
    return Slot.model_validate({"ulid": ulid, "binding": f"DB_{ulid}", "database_id": "u"} | more)


def planned(subject: Worker, *slots: Slot, **more: Any) -> PublishAction:
    desired = {s.binding: d1(s.binding, s.database_id) for s in slots if s.database_id}
    asked: dict[str, Any] = {"desired": desired, "slots": slots, "code": "c", "urgent": False}
    return plan_publish(subject, **(asked | {"looked": False, "now": NOW} | more))


def test_a_new_worker_is_uploaded_and_other_code_replaces_it() -> None:
    """No code yet, or another hash: the script itself is sent."""
    assert worker().status == "new"
    assert planned(worker()) == Upload()
    settled = worker(code="c", published_hash=content_hash({}))
    assert settled.status == "uploaded"
    assert planned(settled) == NothingToPublish()
    assert planned(settled, code="c2") == Upload()


def test_an_unfinished_publish_is_looked_at_then_waited_for_then_replaced() -> None:
    """Nothing is sent while an earlier request may still commit."""
    unfinished = worker(code="c", generation=5, published_generation=4, settle_until=NOW + SETTLE)
    assert planned(unfinished) == ReadBack(5)
    assert planned(unfinished, code="c2") == ReadBack(5)
    wait = planned(unfinished, looked=True)
    assert wait == WaitToPublish(60.0, "the last publish has no known outcome")
    assert planned(unfinished, looked=True, now=NOW + SETTLE) == Publish()
    assert planned(unfinished, looked=True, now=NOW + SETTLE, code="c2") == Upload()
    assert planned(unfinished.model_copy(update={"settle_until": None}), looked=True) == Publish()


def test_an_unfinished_publish_of_what_is_published_already_is_sent_again() -> None:
    """Even with the wanted content its generation must come to an end that is written down."""
    unfinished = worker(
        code="c", generation=5, published_generation=4, published_hash=content_hash({})
    )
    assert planned(unfinished, looked=True) == Publish()


def test_a_database_is_live_once_its_generation_was_seen() -> None:
    """Slots of a served generation are marked, each once; later and leaving ones are not."""
    subject = worker(code="c", generation=3, published_generation=3, live_generation=2)
    slots = [
        slot("A", generation=1, live=True),
        slot("B", generation=2),
        slot("C", generation=3),
        slot("D", generation=2, leaving=True),
        slot("E"),
        slot("F", generation=2, database_id=None),
    ]
    assert planned(subject, *slots) == MarkLive(("B",))


def test_what_is_published_is_asked_for_until_it_is_served() -> None:
    """The running Worker is asked while it is behind what was published."""
    published = worker(
        code="c",
        generation=3,
        published_generation=3,
        live_generation=2,
        published_hash=content_hash({}),
    )
    assert planned(published) == AskRunning()
    assert planned(published.model_copy(update={"live_generation": 3})) == NothingToPublish()


def test_when_nobody_waits_a_publish_waits_for_the_databases_on_their_way() -> None:
    """As long as they keep coming: ten seconds since the last one, a minute since the first."""
    subject = worker(code="c")
    making = slot("B", database_id=None)
    for age, seconds in ((0, 2.0), (7, 2.0), (9, 1.0)):
        action = planned(subject, slot("A", made_at=NOW - timedelta(seconds=age)), making)
        assert action == WaitToPublish(seconds, "more databases are on their way to this shard")
    assert planned(subject, slot("A", made_at=NOW - COALESCE_PAUSE), making) == Publish()
    assert planned(subject, slot("A", made_at=NOW)) == Publish()
    last = slot("C", made_at=NOW)
    for age, seconds in ((57, 2.0), (59, 1.0)):
        first = slot("A", made_at=NOW - timedelta(seconds=age))
        action = planned(subject, first, last, making)
        assert action == WaitToPublish(seconds, "more databases are on their way to this shard")
    assert planned(subject, slot("A", made_at=NOW - COALESCE_LAZY), last, making) == Publish()
    assert planned(subject, slot("A"), making) == Publish()


def test_when_somebody_waits_publishes_are_two_seconds_apart() -> None:
    """A tenant that waits is published for at once, but not more often than every two seconds."""
    subject = worker(code="c")
    waiting = (slot("A", made_at=NOW), slot("B", database_id=None))
    assert planned(subject, *waiting, urgent=True) == Publish()
    just = subject.model_copy(update={"published_at": NOW - timedelta(seconds=0.5)})
    action = planned(just, *waiting, urgent=True)
    assert action == WaitToPublish(1.5, "more databases are on their way to this shard")
    since = subject.model_copy(update={"published_at": NOW - COALESCE_URGENT})
    assert planned(since, *waiting, urgent=True) == Publish()


@dataclass
class PoolWorld:
    """A shard as the table, Cloudflare and the running Worker have it; requests may come late."""

    now: datetime = NOW
    record: Worker = field(default_factory=worker)
    slots: dict[str, Slot] = field(default_factory=dict)
    bound: tuple[int, frozenset[str]] | None = None
    running: tuple[int, frozenset[str]] | None = None
    late: tuple[datetime, tuple[int, frozenset[str]]] | None = None
    waited: float = 0.0
    oldest_wait: datetime | None = None

    def arrive(self) -> None:
        """Let a request that is on its way commit when its time has come."""
        if self.late is not None and self.late[0] <= self.now:
            self.bound, self.late = self.late[1], None

    def step(self, *, fate: str, urgent: bool, serves: bool, looked: bool) -> PublishAction:
        """Plan and do one action; `fate` is what becomes of a publish."""
        self.arrive()
        slots = tuple(self.slots.values())
        desired = {s.binding: d1(s.binding, s.ulid) for s in slots if s.database_id is not None}
        action = plan_publish(
            self.record,
            desired=desired,
            slots=slots,
            code="c",
            urgent=urgent,
            looked=looked,
            now=self.now,
        )
        match action:
            case Upload() | Publish():
                # Nothing of an earlier generation is still on its way: it could commit over this.
                assert self.late is None
                self._publish(frozenset(desired), content_hash(desired), fate)
            case ReadBack(generation=generation):
                if self.bound == (generation, frozenset(desired)):
                    self._confirm(content_hash(desired))
            case AskRunning():
                if serves:
                    self.running = self.bound
                if self.running is not None and self.running[0] >= self._published():
                    self.record = self.record.changed(self.now, live_generation=self._published())
            case MarkLive(ulids=ulids):
                assert self.running is not None
                for ulid in ulids:
                    # Seen means seen: the running Worker has the binding at this moment.
                    assert self.slots[ulid].binding in self.running[1]
                    self.slots[ulid] = self.slots[ulid].model_copy(update={"live": True})
            case WaitToPublish(seconds=seconds):
                assert 0 < seconds <= SETTLE.total_seconds()
                self.now += timedelta(seconds=seconds)
            case NothingToPublish():
                pass
        record = self.record
        assert record.generation >= record.published_generation >= record.live_generation
        return action

    def _published(self) -> int:
        return self.record.published_generation

    def _publish(self, names: frozenset[str], content: str, fate: str) -> None:
        generation = self.record.generation + 1
        until = self.now + SETTLE
        self.record = self.record.changed(
            self.now, generation=generation, settle_until=until, code="c"
        )
        for ulid, found in self.slots.items():
            if found.database_id is not None and found.generation is None:
                self.slots[ulid] = found.model_copy(update={"generation": generation})
        match fate:
            case "confirmed":
                self.bound = (generation, names)
                self._confirm(content)
            case "committed, answer lost":
                self.bound = (generation, names)
            case "late":
                self.late = (self.now + SETTLE * 0.9, (generation, names))
            case _:
                assert fate == "never arrived"

    def _confirm(self, content: str) -> None:
        self.record = self.record.changed(
            self.now,
            published_generation=self.record.generation,
            published_hash=content,
            published_at=self.now,
            settle_until=None,
        )


FATES = st.sampled_from(["confirmed", "committed, answer lost", "late", "never arrived"])


@settings(max_examples=150)
@given(st.data())
def test_publishes_arrive_whatever_becomes_of_them(data: st.DataObject) -> None:
    """Databases come, answers are lost, requests are late: no overlap, and all is live at the end.

    Every step checks that generations stay in order, that nothing is sent while an earlier request
    may be on its way, and that a database is called live only when the running Worker has it.
    """
    world = PoolWorld()
    looked = False
    for number in range(data.draw(st.integers(0, 25))):
        match data.draw(st.sampled_from(["slot", "made", "time", "step", "step", "step"])):
            case "slot":
                world.slots[str(number)] = slot(str(number), database_id=None)
            case "made":
                empty = [s for s in world.slots.values() if s.database_id is None]
                if empty:
                    made = {"database_id": empty[0].ulid, "made_at": world.now}
                    world.slots[empty[0].ulid] = empty[0].model_copy(update=made)
            case "time":
                world.now += timedelta(seconds=data.draw(st.sampled_from([0.3, 5, 61])))
                looked = False
            case _:
                action = world.step(
                    fate=data.draw(FATES),
                    urgent=data.draw(st.booleans()),
                    serves=data.draw(st.booleans()),
                    looked=looked,
                )
                looked = isinstance(action, ReadBack)
    began, looked = world.now, False
    for _ in range(40):
        action = world.step(fate="confirmed", urgent=False, serves=True, looked=looked)
        looked = isinstance(action, ReadBack)
        if action == NothingToPublish():
            break
    assert action == NothingToPublish()
    made = {s.binding for s in world.slots.values() if s.database_id is not None}
    assert world.running is not None
    assert world.running == world.bound
    assert world.running[1] == made
    assert all(s.live for s in world.slots.values() if s.database_id is not None)
    # The wait is bounded: the settling of one publish, and once the coalescing.
    assert world.now - began <= SETTLE + COALESCE_LAZY
