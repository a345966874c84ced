"""A tenant that failed for a database that is there after all, and how it gets it back."""

import json

import httpx
import pytest

from shared.aws.items import Change, slot_update
from shared.domain.database import DatabaseStatus
from shared.domain.drift.databases import DatabaseMissing
from shared.domain.drift.repairs import FailTenant
from shared.domain.finding import FindingState, fingerprint
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import Permanent
from shared.settings import Settings
from shared.usecases.findings import KeepFindings
from shared.usecases.looking import Looking
from shared.usecases.repair_databases import RepairDatabases
from shared.usecases.retry_tenant import RetryTenant
from tests.usecases.leaving import database_of, live, tenant_of
from tests.usecases.long_work import ROWS, api
from tests.usecases.test_signup_path import status
from tests.usecases.world import World

MISSING = {"code": 7404, "message": "The database could not be found"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 1})


def lie(world: World, uuid: str | None) -> None:
    """Have D1's API say that it has no database of this uuid; None: have it tell the truth."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if uuid is None or f"/d1/database/{uuid}" not in request.url.path:
            return None
        body = {"success": False, "errors": [MISSING], "messages": [], "result": None}
        return httpx.Response(404, content=json.dumps(body))

    world.executioner.meddle = answer


def failed_by_mistake(world: World) -> Tenant:
    """Let a pass miss the database of a live tenant, whose binding can't be asked either."""
    control, tenant = world.control, live(world, "org_a")
    api(world).d1.query(tenant.database_id or "", ROWS)
    database = database_of(world, tenant)
    unseen = slot_update(database.shard, database.ulid, expected={"leaving": False}, live=False)
    control.state.commit(also=[unseen])
    drift = DatabaseMissing(
        tenant_id="org_a",
        database_id=database.database_id,
        database_name=database.name,
        binding=database.binding,
        ulid=database.ulid,
        status=database.status,
        version=database.version,
    )
    KeepFindings(control)([drift.sighting()], compared=(), trace="t")
    lie(world, database.database_id)
    looking = Looking(control, world.outside, dict, control.now())
    assert RepairDatabases(looking, "t")(
        drift, FailTenant("org_a", database.ulid, database.version)
    )
    world.run()
    assert status(world, "org_a") is TenantStatus.FAILED
    return tenant


def test_what_is_there_after_all_is_put_back(world: World) -> None:
    """Refused while D1 has none; then bound again, seen live, served, and the finding is over."""
    tenant = failed_by_mistake(world)
    failed, aside = tenant_of(world, "org_a"), database_of(world, tenant)
    retry = RetryTenant(world.control, world.outside)
    with pytest.raises(Permanent, match="`d1fleet restore org_a`"):
        retry("org_a", "t")
    assert (tenant_of(world, "org_a"), database_of(world, tenant)) == (failed, aside)

    lie(world, None)
    assert retry("org_a", "t").status is TenantStatus.ACTIVATING
    assert database_of(world, tenant).status is DatabaseStatus.REBINDING
    finding = KeepFindings(world.control).store.get(fingerprint("database_missing", aside.ulid))
    assert finding is not None
    assert (finding.state, finding.resolved_why) == (
        FindingState.RESOLVED,
        "D1 has it after all",
    )
    world.run()
    back = tenant_of(world, "org_a")
    assert (back.status, back.database_id) == (TenantStatus.ACTIVE, tenant.database_id)
    assert back.reason is None
    assert database_of(world, tenant).status is DatabaseStatus.CLAIMED
    assert world.outside.router().probe("org_a").database_uuid == tenant.database_id
    rows = api(world).d1.query(tenant.database_id or "", "SELECT count(*) AS n FROM notes")
    assert rows[0].results[0]["n"] == 3
    lines = [line["what"] for line in world.control.state.history(back)]
    assert lines[:3] == ["active", "put back", "failed"]


def test_another_database_of_its_uuid_is_not_put_back(world: World) -> None:
    """The table may have been restored or changed by hand: the name on record must be D1's too."""
    tenant = failed_by_mistake(world)
    lie(world, None)
    before = database_of(world, tenant)
    other = before.changed(world.control.now(), name=f"{before.name[:-1]}z")
    world.control.state.commit(Change(before, other))
    with pytest.raises(Permanent, match="`d1fleet restore org_a`"):
        RetryTenant(world.control, world.outside)("org_a", "t")
    assert status(world, "org_a") is TenantStatus.FAILED
