"""A tenant that comes back while its database was being unbound, and what is in the way of that."""

from pathlib import Path

import pytest

from shared.domain.database import DatabaseStatus
from shared.domain.messages import Message
from shared.domain.tenant import TenantStatus
from shared.settings import Settings
from shared.usecases.attempts import MAX_ATTEMPTS
from shared.usecases.operate_tenant import OperateTenant
from shared.usecases.retry_tenant import RetryTenant
from tests.usecases.leaving import close, database_of, live, tenant_of
from tests.usecases.long_work import add_long_work
from tests.usecases.test_signup_path import status
from tests.usecases.world import World


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 1})


def test_a_way_back_that_was_cut_off_ten_times_is_gone_on_a_retry(
    world: World, tmp_path: Path
) -> None:
    """Its data is whole: the tenant fails with that word, and a retry binds its database again."""
    add_long_work(world, tmp_path / "work")
    tenant = live(world, "org_a")
    close(world, "org_a")
    world.run(lambda: database_of(world, tenant).status is DatabaseStatus.UNBINDING)
    OperateTenant(world.control).resume("org_a", trace="t")
    world.run(lambda: database_of(world, tenant).status is DatabaseStatus.REBINDING)
    ulid = tenant.database_ulid or ""
    for _ in range(MAX_ATTEMPTS):
        assert world.control.state.begin("DB", ulid, None, world.control.now()) is not None
    world.deliver("work", Message(kind="database", id=ulid, trace="t"))
    world.run(lambda: status(world, "org_a") is TenantStatus.FAILED)
    assert "its data is whole" in (tenant_of(world, "org_a").reason or "")
    RetryTenant(world.control, world.outside)("org_a", "t")
    world.run(lambda: status(world, "org_a") is TenantStatus.ACTIVE)
    assert tenant_of(world, "org_a").database_ulid == tenant.database_ulid
    assert world.outside.router().probe("org_a").database_uuid == tenant.database_id
