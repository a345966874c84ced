"""Let a tenant begin: with a database of the pool at once, or as pending."""

from collections.abc import Sequence

from shared.aws.items import Change
from shared.aws.table import Write
from shared.domain.tenant import Tenant
from shared.usecases.claim_database import claim
from shared.usecases.context import Control
from shared.usecases.rights import Rights

__all__ = ["begin_tenant"]


def begin_tenant(
    control: Control,
    before: Tenant | None,
    pending: Tenant,
    rights: Rights,
    *,
    why: str,
    trace: str,
    also: Sequence[Write] = (),
) -> Tenant:
    """Write a tenant down that begins, or begins again; return it as it then is.

    What billing said of it before it was there is its own from now on.

    Raises:
        Conflict: it began already, or billing said something meanwhile: decide anew.
    """
    also = [*also, *rights.adopted()]
    claimed = claim(control, before, pending, why=why, trace=trace, also=also, rights=rights)
    if claimed is not None:
        return claimed
    line = control.line("pending", why=why, trace=trace)
    control.state.commit(Change(before, pending, line), also=also)
    return pending
