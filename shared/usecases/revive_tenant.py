"""Send a failed tenant on its way again, as far as its words allow."""

from typing import Any

from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.context import Control
from shared.usecases.rights import rights_of, settled

__all__ = ["revived"]


def revived(control: Control, tenant: Tenant, **changes: Any) -> Tenant:
    """Return a failed tenant trying again; one that may not be served by now, as it should be."""
    owns = tenant.database_ulid is not None
    to = TenantStatus.ACTIVATING if owns else TenantStatus.PENDING
    again = tenant.moved(to, control.now(), reason=None, **changes)
    return settled(control, again, rights_of(control, tenant.tenant_id))
