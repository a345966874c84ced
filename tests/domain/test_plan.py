"""Plans for tenants and databases: total, never a delete, and they arrive wherever cut off."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import plan
from shared.domain.database import Database, DatabaseStatus
from shared.domain.plan import (
    AwaitBinding,
    AwaitDatabase,
    AwaitRebinding,
    AwaitRestore,
    Claim,
    ConfirmLive,
    CreateDatabase,
    Fail,
    FinishDatabase,
    KeepDatabase,
    Leave,
    Migrate,
    MigrateFirst,
    Nothing,
    PublishRoute,
    SettleRoute,
    plan_database,
    plan_refill,
    plan_tenant,
)
from shared.domain.tenant import MISROUTED, Tenant, TenantStatus

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TIMES = {"created_at": NOW, "updated_at": NOW, "status_since": NOW}
HEADS = st.sampled_from(["", "0001", "0002"])
STATES = st.none() | st.sampled_from(TenantStatus)
S, D = TenantStatus, DatabaseStatus


def tenant(status: TenantStatus, **more: Any) -> Tenant:
    data = {"tenant_id": "org_1", "class_": "weur", "status": status} | TIMES
    return Tenant.model_validate(data | more)


def database(status: DatabaseStatus, **more: Any) -> Database:
    data = {"ulid": "U", "name": "f-u", "shard": "f-pool-1", "class_": "weur", "status": status}
    return Database.model_validate(data | TIMES | more)


def test_no_plan_has_an_action_that_deletes() -> None:
    """Losing a database to a wrong plan is impossible: no member of the unions deletes anything."""
    actions = {*get_args(plan.TenantAction), *get_args(plan.DatabaseAction)}
    names = {action.__name__ for action in actions}
    assert not [n for n in names if any(w in n for w in ("Delete", "Drop", "Remove", "Unbind"))]
    assert {getattr(plan, n) for n in plan.__all__ if isinstance(getattr(plan, n), type)} == actions


@given(st.sampled_from(TenantStatus), STATES, STATES, HEADS, HEADS, st.booleans(), st.booleans())
def test_a_tenant_always_has_a_next_step(
    status: TenantStatus,
    routed_status: TenantStatus | None,
    routed: TenantStatus | None,
    version: str,
    head: str,
    blocked: bool,
    tried: bool,
) -> None:
    """Every state of a tenant has exactly one answer, and a settled one has nothing left to do."""
    subject = tenant(status, routed_status=routed_status, schema_version=version)
    why = "full" if blocked else None
    action = plan_tenant(
        subject, database=None, head=head, routed=routed, blocked=why, tried_claim=tried
    )
    assert isinstance(action, get_args(plan.TenantAction))
    assert isinstance(action, Nothing) is subject.settled
    if isinstance(action, Leave):
        assert status == routed_status == S.CLOSING
    opens = isinstance(action, PublishRoute) and action.state == S.ACTIVE
    if opens or isinstance(action, ConfirmLive):
        # Access opens for a tenant that is being activated, at the head, and for no other.
        assert (status, version) == (S.ACTIVATING, head)
    if isinstance(action, SettleRoute):
        assert action.state == routed == status


@given(
    st.sampled_from(DatabaseStatus),
    HEADS,
    HEADS,
    st.none() | HEADS,
    st.booleans(),
    st.integers(0, 9),
)
def test_a_database_always_has_a_next_step(
    status: DatabaseStatus,
    version: str,
    head: str,
    migrated: str | None,
    uncertain: bool,
    attempts: int,
) -> None:
    """Every state has one answer; only one at the head is finished, a doubtful one is looked up."""
    subject = database(status, schema_version=version, uncertain=uncertain, attempts=attempts)
    action = plan_database(subject, head=head, migrated=migrated)
    assert isinstance(action, get_args(plan.DatabaseAction))
    assert isinstance(action, CreateDatabase) is (status is D.CREATING)
    if isinstance(action, CreateDatabase):
        assert action.look_first is (uncertain or attempts > 1)
    if isinstance(action, FinishDatabase):
        assert (status, migrated) == (D.MIGRATING, head)
    if status not in {D.CREATING, D.BINDING, D.REBINDING, D.MIGRATING, D.READY}:
        assert action == Nothing()


def test_a_ready_database_that_is_behind_is_migrated_and_stays_ready() -> None:
    """A push of migrations leaves ready ones behind; they are brought to the head in place."""
    behind = database(D.READY, schema_version="0001")
    assert plan_database(behind, head="0002", migrated=None) == Migrate()
    assert plan_database(behind, head="0002", migrated="0002") == Nothing()
    assert plan_database(behind, head="0001", migrated=None) == Nothing()


@dataclass
class TenantWorld:
    """What a tenant's steps act on: its record, the pool, its database, the directory, the app."""

    record: Tenant
    ready: bool
    blocked: str | None
    ledger: str = ""
    route: tuple[int, str] = (0, "unknown")

    def attempt(self, head: str, cut_after: int) -> bool:
        """Make one attempt that dies after so many actions; say whether it came to its own end."""
        routed: str | None = None
        tried, blocked = False, None
        for _ in range(cut_after):
            action = plan_tenant(
                self.record,
                database=None,
                head=head,
                routed=routed,
                blocked=blocked,
                tried_claim=tried,
            )
            match action:
                case Nothing() | AwaitDatabase() | Leave():
                    return True
                case Claim():
                    tried, blocked = True, self.blocked
                    if self.ready:
                        self.ready = False
                        self.record = self.record.moved(S.ACTIVATING, NOW, database_ulid="U")
                case Fail(reason=reason):
                    self.record = self.record.moved(S.FAILED, NOW, reason=reason)
                case MigrateFirst():
                    self.ledger = head
                    self.record = self.record.changed(NOW, schema_version=head)
                case PublishRoute(state=state):
                    if self.record.version > self.route[0]:
                        self.route = (self.record.version, state)
                    routed = self.route[1]
                case SettleRoute(state=state):
                    self.record = self.record.changed(NOW, routed_status=state)
                case ConfirmLive():
                    assert self.route[1] == S.ACTIVE
                    self.record = self.record.moved(S.ACTIVE, NOW, routed_status=S.ACTIVE)
        return False


FORKS = {
    S.PENDING: [S.CLOSING],
    S.ACTIVATING: [S.CLOSING, S.SUSPENDED],
    S.ACTIVE: [S.CLOSING, S.SUSPENDED],
    S.SUSPENDED: [S.ACTIVATING, S.CLOSING],
    S.CLOSING: [S.ACTIVATING, S.SUSPENDED, S.CLOSED],
    S.FAILED: [S.ACTIVATING, S.CLOSING],
    S.CLOSED: [],
}


@given(st.data())
def test_a_tenant_arrives_wherever_its_attempts_are_cut_off(data: st.DataObject) -> None:
    """Attempts die after any action, others move the tenant between; the end is as it should be."""
    full = data.draw(st.sampled_from([None, "the account is full"]))
    world = TenantWorld(tenant(S.PENDING), data.draw(st.booleans()), full)
    head = data.draw(HEADS)
    for _ in range(data.draw(st.integers(0, 6))):
        world.attempt(head, data.draw(st.integers(0, 4)))
        others = [
            status
            for status in FORKS[world.record.status]
            if status is not S.ACTIVATING or world.record.database_ulid is not None
        ]
        if others and data.draw(st.booleans()):
            world.record = world.record.moved(data.draw(st.sampled_from(others)), NOW)
    assert world.attempt(head, 12)
    record, before = world.record, world.route
    if record.status is S.PENDING:
        assert not world.ready
        assert record.routed_status == S.PENDING
    else:
        assert record.settled or record.status is S.CLOSING
    # The app is told what the record says: nobody who is gone or suspended is let in.
    assert world.route[1] == record.status
    if record.status is S.ACTIVE:
        assert world.ledger == head == record.schema_version or head == ""
    assert world.attempt(head, 12)
    assert (world.record, world.route) == (record, before)


def test_a_tenant_that_is_closed_again_while_it_is_resumed_is_shut_out() -> None:
    """The directory was told "active" meanwhile: that it held "closing" before proves nothing."""
    world = TenantWorld(tenant(S.PENDING), ready=True, blocked=None)
    for actions, interruption in ((3, S.CLOSING), (3, S.ACTIVATING), (1, S.CLOSING)):
        world.attempt("0001", actions)
        world.record = world.record.moved(interruption, NOW)
    assert world.attempt("0001", 12)
    assert (world.record.status, world.route[1]) == (S.CLOSING, S.CLOSING)


@pytest.mark.parametrize("status", [D.EXPORTING, D.UNBINDING])
@pytest.mark.parametrize("back", [S.ACTIVATING, S.SUSPENDED])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_tenant_that_stays_gets_its_database_back_first(
    status: DatabaseStatus, back: TenantStatus, stopped: bool
) -> None:
    """What a closing began with the database is taken back before anything else happens."""
    held = database(D.QUARANTINED, retry_as=status) if stopped else database(status)
    action = plan_tenant(
        tenant(back), database=held, head="", routed=None, blocked=None, tried_claim=False
    )
    assert action == KeepDatabase()


@pytest.mark.parametrize("status", sorted(set(D) - {D.CLAIMED, D.EXPORTING, D.UNBINDING}))
def test_access_never_opens_to_a_database_that_is_not_bound_and_owned(
    status: DatabaseStatus,
) -> None:
    """A tenant is activated with a claimed database alone; otherwise it waits or fails."""
    action = plan_tenant(
        tenant(S.ACTIVATING),
        database=database(status),
        head="",
        routed=None,
        blocked=None,
        tried_claim=False,
    )
    assert isinstance(action, AwaitRebinding if status is D.REBINDING else Fail)


def test_a_tenant_that_waits_for_its_backup_claims_nothing() -> None:
    """An empty database must not come between a tenant and its data."""
    waiting = tenant(S.PENDING, restore_id="R", routed_status=S.PENDING)
    action = plan_tenant(
        waiting, database=None, head="", routed=None, blocked=None, tried_claim=False
    )
    assert action == AwaitRestore()


@dataclass
class DatabaseWorld:
    """What a database's steps act on: its record, D1, its shard, its ledger."""

    record: Database
    made: int = 0
    served: bool = False
    ledger: str | None = None

    def attempt(self, head: str, cut_after: int, *, lose_answer: bool) -> bool:
        """Make one attempt that dies after so many actions, the last one perhaps unrecorded."""
        self.record = self.record.model_copy(update={"attempts": self.record.attempts + 1})
        migrated = None
        for left in reversed(range(cut_after)):
            action = plan_database(self.record, head=head, migrated=migrated)
            unrecorded = lose_answer and left == 0
            match action:
                case Nothing():
                    return True
                case CreateDatabase(look_first=look_first):
                    if not (look_first and self.made):
                        # D1 refuses a name twice; the name is ours, so the first is adopted.
                        self.made = 1
                    if not unrecorded:
                        self.record = self.record.moved(D.BINDING, NOW, database_id="d")
                case AwaitBinding():
                    self.served = True
                    if not unrecorded:
                        self.record = self.record.moved(D.MIGRATING, NOW)
                case Migrate():
                    assert self.served
                    self.ledger = migrated = head
                case FinishDatabase():
                    assert self.ledger == head
                    if not unrecorded:
                        self.record = self.record.moved(D.READY, NOW, schema_version=head)
        return False


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), HEADS), max_size=6), HEADS)
def test_a_database_arrives_wherever_its_attempts_are_cut_off(
    cuts: list[tuple[int, bool, str]], head: str
) -> None:
    """Cut off anywhere, with the head moving on meanwhile: one database, ready or back at work."""
    world = DatabaseWorld(database(D.CREATING))
    for cut_after, lose_answer, head_then in cuts:
        if cut_after:
            world.attempt(head_then, cut_after, lose_answer=lose_answer)
    assert world.attempt(head, 12, lose_answer=False) or world.record.status is D.READY
    assert (world.record.status, world.made, world.served) == (D.READY, 1, True)
    if world.record.schema_version != head:
        assert plan_database(world.record, head=head, migrated=None) == Migrate()


@given(*[st.integers(0, 200)] * 4, st.integers(1, 50))
def test_a_refill_goes_to_the_target_and_to_everybody_who_waits(
    target: int, pending: int, ready: int, making: int, batch: int
) -> None:
    """Batch by batch the pool gets exactly what it lacks, nothing twice and nothing too much."""
    begun = []
    while count := plan_refill(
        target=target, pending=pending, ready=ready, making=making + sum(begun), batch=batch
    ):
        assert 1 <= count <= batch
        begun.append(count)
    assert sum(begun) == max(0, target + pending - ready - making)


@pytest.mark.parametrize("status", [S.ACTIVE, S.CLOSED])
def test_what_is_settled_is_left_alone(status: TenantStatus) -> None:
    """An active tenant that is behind the head waits for the rollout, it is not taken down."""
    done = tenant(status, schema_version="0001", routed_status=status)
    action = plan_tenant(
        done, database=None, head="0002", routed=None, blocked=None, tried_claim=False
    )
    assert action == Nothing()


@pytest.mark.parametrize(
    ("routed_status", "routed", "action"),
    [
        (MISROUTED, None, PublishRoute("active")),
        (MISROUTED, "active", SettleRoute("active")),
        ("active", None, Nothing()),
    ],
)
def test_an_active_tenant_that_was_misrouted_is_routed_again(
    routed_status: str, routed: str | None, action: plan.TenantAction
) -> None:
    """One whose row in the directory was found wrong is published anew, and then settled."""
    subject = tenant(S.ACTIVE, routed_status=routed_status)
    assert subject.settled == (action == Nothing())
    assert action == plan_tenant(
        subject, database=None, head="", routed=routed, blocked=None, tried_claim=False
    )
