"""What an auth provider's webhook means, in the words of this project.

The adapters of `shared.webhooks.auth` make these out of each provider's own shape; the door of
`on_signup` hands them to the use case. Nothing in them is the provider's raw text except the ids
and the names, and those are checked here: what got past this model may be stored.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.event_fields import EventId, EventType, Mode, ProviderName, TenantId
from shared.domain.lifecycle import Instant

__all__ = ["MAX_DISPLAY_NAME", "AuthEvent", "Verb"]

Verb = Literal["tenant.requested", "tenant.updated", "tenant.removed"]

MAX_DISPLAY_NAME = 200


class AuthEvent(BaseModel):
    """Say what an auth provider wants for one tenant.

    `event_id` is the same for every delivery of the event; together with `provider` and `mode` it
    is what duplicates are known by. `occurred_at` (UTC) is the provider's own time or version of
    the object, never the time of the delivery; None when the provider gives none that can be
    trusted for ordering. `type` is the provider's name of the event, for people to read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    provider: ProviderName
    mode: Mode = "live"
    event_id: EventId
    type: EventType
    verb: Verb
    tenant_id: TenantId
    occurred_at: Instant | None = None
    display_name: Annotated[str, Field(max_length=MAX_DISPLAY_NAME)] | None = None
