"""Erasing a closed tenant: all of it goes, the opaque id stays, and a receipt that names nobody."""

import json
from datetime import timedelta
from typing import Any

import boto3
import pytest

from shared.aws.backups import BackupStore
from shared.aws.items import Change
from shared.aws.table import Put
from shared.domain.backup import Backup, BackupReason, BackupStatus, Restore, RestoreStatus
from shared.domain.billing_events import Word
from shared.domain.database import Database, DatabaseStatus
from shared.domain.erasure import Erasure, tenant_hash
from shared.domain.links import Hint
from shared.domain.subscription import Fact, Standing
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import Permanent, Transient
from shared.usecases.erase_tenant import EraseTenant
from shared.usecases.keep_books import KeepBooks, Said
from tests.usecases.killing import Killed, WatchedAws
from tests.usecases.world import World

MOST_EFFECTS = 40
PERSONAL = "Ada Lovelace"


def ulid(number: int, letter: str) -> str:
    return f"{number:025}{letter}"


def record(kind: Any, world: World, **data: Any) -> Any:
    now = world.control.now()
    return kind.model_validate(
        {"created_at": now, "updated_at": now, "status_since": now, "class_": "weur", **data}
    )


def closed(world: World, number: int, **more: Any) -> str:
    """Have a closed tenant that was here for a while: backups, history, receipt, subscription."""
    control, tenant_id = world.control, f"org_{number}"
    name = f"{control.settings.fleet}-{ulid(number, 'D').lower()}"
    tenant = record(
        Tenant,
        world,
        tenant_id=tenant_id,
        status=TenantStatus.CLOSED,
        routed_status="closed",
        display_name=PERSONAL,
        reason=f"{PERSONAL} left",
        final_backup_id=ulid(number, "A"),
        database_ulid=ulid(number, "D"),
        **more,
    )
    database = record(
        Database,
        world,
        ulid=ulid(number, "D"),
        name=name,
        shard="s",
        owner=tenant_id,
        status=DatabaseStatus.DELETED,
    )
    line = control.line("closed", why=f"{PERSONAL} left")
    changes = [Change(None, tenant, line), Change(None, database, line)]
    for letter, status in (("A", BackupStatus.PROVEN), ("B", BackupStatus.REFUSED)):
        backup = record(
            Backup,
            world,
            backup_id=ulid(number, letter),
            tenant_id=tenant_id,
            status=status,
            because=BackupReason.CLOSING,
            database_ulid=ulid(number, "D"),
            reason=PERSONAL,
            key="somewhere",
        )
        changes.append(Change(None, backup, line))
    restore = record(
        Restore,
        world,
        restore_id=ulid(number, "E"),
        backup_id=ulid(number, "A"),
        tenant_id=tenant_id,
        status=RestoreStatus.REFUSED,
        database_ulid=ulid(number, "F"),
        reason=PERSONAL,
    )
    dropped = record(
        Database,
        world,
        ulid=ulid(number, "F"),
        name=f"{control.settings.fleet}-{ulid(number, 'F').lower()}",
        shard="s",
        owner=tenant_id,
        status=DatabaseStatus.DELETED,
    )
    changes += [Change(None, restore, line), Change(None, dropped, line)]
    receipt = {"database_name": name, "database_id": "uuid", "on_whose_word": PERSONAL}
    row = Put({"pk": f"TENANT#{tenant_id}", "sk": f"RECEIPT#{ulid(number, 'R')}", **receipt})
    control.state.commit(*changes, also=[row])
    now = control.now()
    word = Word(
        subscription_id=f"sub_{number}",
        customer_id=f"cus_{number}",
        hint=Hint(tenant_id=tenant_id, vouched=True),
        fact=Fact(standing=Standing.ENDED, at=now, final=True, said=PERSONAL),
    )
    KeepBooks(control).enter(Said("stripe", "live", word, why=PERSONAL, trace="t"))
    s3 = boto3.client("s3")
    for body in (b"one", b"two"):  # two versions of one, and what an attempt has left
        for file in (f"{ulid(number, 'A')}-x.sql", "left-over.sql"):
            key = f"backups/{ulid(number, 'D')}/{file}"
            s3.put_object(Bucket=control.settings.bucket_name, Key=key, Body=body)
    return tenant_id


@pytest.fixture
def erase(world: World) -> EraseTenant:
    s3: Any = WatchedAws("s3", boto3.client("s3"), world.executioner)
    return EraseTenant(world.control, BackupStore(s3, world.control.settings.bucket_name))


def table(world: World) -> list[dict[str, Any]]:
    client = world.control.state.table._client
    items: list[dict[str, Any]] = client.scan(TableName="state")["Items"]
    return items


def see(world: World, number: int, receipt: Erasure) -> None:
    """Nothing is left of a tenant but its id, and the receipt does not name it."""
    control = world.control
    tenant = control.state.tenant(f"org_{number}")
    assert tenant is not None
    assert (tenant.status, tenant.display_name, tenant.reason) == (TenantStatus.CLOSED, None, None)
    assert tenant.settled
    assert {backup.status for backup in control.state.backups_of(tenant.tenant_id)} == {
        BackupStatus.ERASED
    }
    s3 = boto3.client("s3").list_object_versions(
        Bucket=control.settings.bucket_name, Prefix=f"backups/{ulid(number, 'D')}/"
    )
    assert "Versions" not in s3
    left = [item for item in table(world) if f"org_{number}" in f"{item}" or item.get("who")]
    mine = [item for item in left if item["pk"] == f"TENANT#org_{number}"]
    assert sorted({item["sk"].partition("#")[0] for item in mine}) == ["BACKUP", "META"]
    assert not [item for item in table(world) if PERSONAL in str(item)]
    assert not [i for i in table(world) if f"sub_{number}" in str(i) or f"cus_{number}" in str(i)]
    text = json.dumps(receipt.model_dump(), default=str)
    assert f"org_{number}" not in text
    assert receipt.tenant_hash == tenant_hash(control.fleet.get().uid, f"org_{number}")
    assert receipt.erased_at is not None
    assert [one.database_id for one in receipt.databases] == ["uuid"]
    assert sorted(one.backup_id[-1] for one in receipt.backups) == ["A", "B"]


def test_killed_after_each_side_effect(world: World, erase: EraseTenant) -> None:
    """Whatever side effect it dies after, given again it ends in the same place."""
    for number in range(1, MOST_EFFECTS):
        closed(world, number)
        world.executioner.arm(number)
        try:
            receipt = erase(f"org_{number}")
        except Killed:
            receipt = erase(f"org_{number}")
        effects = list(world.executioner.effects)
        world.executioner.arm(None)
        see(world, number, receipt)
        assert erase(f"org_{number}") == receipt, "asked again the receipt is the same"
        if len(effects) < number:
            assert len(effects) >= 8
            return
    raise AssertionError("there are more side effects than there can be")


def test_a_late_word_is_erased_too(world: World, erase: EraseTenant) -> None:
    """What billing says after the erasure goes with the next one; the receipt keeps its lists."""
    closed(world, 1)
    first = erase("org_1")
    word = Word(
        subscription_id="sub_1",
        hint=Hint(tenant_id="org_1", vouched=True),
        fact=Fact(standing=Standing.ENDED, at=world.control.now(), final=True),
    )
    KeepBooks(world.control).enter(Said("stripe", "live", word, why="late", trace="t"))
    assert world.control.state.tenant("org_1").status is TenantStatus.CLOSED  # type: ignore[union-attr]
    again = erase("org_1")
    see(world, 1, again)
    assert (again.receipt_id, again.backups) == (first.receipt_id, first.backups)
    assert again.erased_at is not None
    assert first.erased_at is not None
    assert again.erased_at > first.erased_at


def test_a_later_life_has_a_receipt_of_its_own(world: World, erase: EraseTenant) -> None:
    """The same id that came back and left again is erased again."""
    closed(world, 1)
    first = erase("org_1")
    client = world.control.state.table._client
    client.update_item(
        TableName="state",
        Key={"pk": "TENANT#org_1", "sk": "META"},
        UpdateExpression="SET episode = :two",
        ExpressionAttributeValues={":two": 2},
    )
    second = erase("org_1")
    assert (second.episode, second.backups) == (2, ())
    assert second.tenant_hash == first.tenant_hash
    assert second.receipt_id != first.receipt_id


def test_only_what_is_really_over_is_erased(world: World, erase: EraseTenant) -> None:
    """A tenant that lives, whose route is not settled, that has a copy, or a backup under way."""
    control = world.control
    with pytest.raises(Permanent, match="no tenant org_9"):
        erase("org_9")
    now = control.now()
    tenant_id = closed(world, 1)
    tenant = control.state.tenant(tenant_id)
    assert tenant is not None
    unsettled = tenant.changed(now, routed_status=None)
    control.state.commit(Change(tenant, unsettled))
    with pytest.raises(Transient, match="directory"):
        erase(tenant_id)
    control.state.commit(Change(unsettled, unsettled.changed(now, routed_status="closed")))

    copy = record(
        Database,
        world,
        ulid=ulid(1, "E"),
        name="t-copy",
        shard="s",
        owner=tenant_id,
        status=DatabaseStatus.DETACHED,
    )
    control.state.commit(Change(None, copy))
    with pytest.raises(Permanent, match="--drop t-copy"):
        erase(tenant_id)
    deleting = copy.moved(DatabaseStatus.DELETING, now)
    control.state.commit(Change(copy, deleting))
    with pytest.raises(Permanent, match="t-copy is still there"):
        erase(tenant_id)
    control.state.commit(Change(deleting, deleting.moved(DatabaseStatus.DELETED, now)))

    wanted = record(
        Backup,
        world,
        backup_id=ulid(1, "C"),
        tenant_id=tenant_id,
        status=BackupStatus.WANTED,
        because=BackupReason.OPERATOR,
        database_ulid=ulid(1, "D"),
    )
    control.state.commit(Change(None, wanted))
    with pytest.raises(Permanent, match="is being made"):
        erase(tenant_id)
    control.state.commit(Change(wanted, wanted.moved(BackupStatus.REFUSED, now)))

    back = control.state.tenant(tenant_id)
    assert back is not None
    control.state.commit(Change(back, back.anew(now + timedelta(seconds=1))))
    with pytest.raises(Permanent, match="tenants close org_1"):
        erase(tenant_id)
    assert not [item for item in table(world) if item["pk"] == "RECEIPTS"]
    assert control.state.backup(ulid(1, "A")).status is BackupStatus.PROVEN  # type: ignore[union-attr]
