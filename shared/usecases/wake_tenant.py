"""Wake a tenant that an operator spoke of, with the pool that it may wait for."""

from shared.domain.tenant import Tenant
from shared.usecases.context import Control

__all__ = ["wake_tenant"]


def wake_tenant(control: Control, tenant: Tenant, trace: str) -> None:
    """Say that a tenant wants attention, unless it is settled.

    Raises:
        Transient: the queue does not answer.
    """
    if not tenant.settled:
        control.enqueue("tenant", tenant.tenant_id, trace=trace)
        control.enqueue("pool", tenant.class_, trace=trace)
