"""Whose subscription it is: a decision that never trusts what a payer can edit.

In this order: the tenant that the subscription is linked to already; the tenant that the event
names; the tenant of the customer who pays. A link once made stays: what contradicts it is told to a
person. A name that a payer could have written (see `Hint.vouched`) opens no tenant that somebody
else pays for already.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.event_fields import TenantId

__all__ = ["Hint", "Link", "find_link"]


class Hint(BaseModel):
    """Name the tenant that an event says it is about.

    `vouched` says that only the SaaS itself can have written it: its server made the object, or
    the provider gives payers no way to edit it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    tenant_id: TenantId
    vouched: Annotated[bool, Field(strict=True)]


@dataclass(frozen=True)
class Link:
    """Name a tenant, or None: nobody knows yet.

    `vouched` as in `Hint`. `conflict` says what was refused, for a person to look at.
    """

    tenant_id: str | None = None
    vouched: bool = False
    conflict: str | None = None


def find_link(*, stored: Link, hint: Hint | None, customer: Link, rivals: bool) -> Link:
    """Return whose subscription it is.

    `stored` is the subscription's link so far, `customer` its customer's. `rivals` says whether
    the tenant of the hint has another customer of the same provider and mode.
    """
    if stored.tenant_id is not None:
        same = [hint is not None and hint.tenant_id == stored.tenant_id and hint.vouched]
        same.append(customer.tenant_id == stored.tenant_id and customer.vouched)
        conflict = None
        if hint is not None and hint.tenant_id != stored.tenant_id:
            conflict = f"is linked to {stored.tenant_id}, and an event names {hint.tenant_id}"
        return Link(stored.tenant_id, stored.vouched or any(same), conflict)
    if hint is not None and hint.vouched:
        return Link(hint.tenant_id, vouched=True)
    if customer.tenant_id is not None:
        conflict = None
        if hint is not None and hint.tenant_id != customer.tenant_id:
            conflict = f"is of a customer of {customer.tenant_id} but names {hint.tenant_id}"
        return Link(customer.tenant_id, customer.vouched, conflict)
    if hint is None:
        return Link()
    if rivals:
        return Link(conflict=f"names {hint.tenant_id}, for whom somebody else pays already")
    return Link(hint.tenant_id, vouched=False)
