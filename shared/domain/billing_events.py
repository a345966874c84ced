"""What a billing provider's webhook means, in the words of this project.

The adapters of `shared.webhooks.billing` make these out of each provider's own shape; the door of
`on_billing` hands them to the use case.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.event_fields import EventId, EventType, Mode, ProviderName
from shared.domain.lifecycle import Instant
from shared.domain.links import Hint
from shared.domain.subscription import Fact, Ref

__all__ = ["MAX_WORDS", "BillingEvent", "Word"]

MAX_WORDS = 20


class Word(BaseModel):
    """Say something of one subscription, of its customer, or of the link between them.

    Without `subscription_id` it is about the customer alone. `hint` names the tenant. `gone_at` is
    when the customer was deleted at the provider, and all its subscriptions with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    subscription_id: str | None = None
    customer_id: str | None = None
    hint: Hint | None = None
    fact: Fact | None = None
    gone_at: Instant | None = None


class BillingEvent(BaseModel):
    """Say what a billing provider told.

    `event_id` is the same for every delivery; with `provider` and `mode` it is what duplicates are
    known by. `unknown` is a status that the adapter does not know: it changes nothing, and a person
    is told. `refetch` says that a word without a fact means something once the subscription is
    fetched from the provider's API, and nothing without that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    provider: ProviderName
    mode: Mode
    event_id: EventId
    type: EventType
    words: Annotated[tuple[Word, ...], Field(max_length=MAX_WORDS)] = ()
    unknown: Annotated[str, Field(max_length=100)] | None = None
    refetch: bool = False

    def subscription(self, word: Word) -> Ref | None:
        """Return the name of the subscription that a word is about."""
        return self._ref(word.subscription_id)

    def customer(self, word: Word) -> Ref | None:
        """Return the name of the customer that a word is about."""
        return self._ref(word.customer_id)

    def _ref(self, id_: str | None) -> Ref | None:
        return None if id_ is None else Ref(self.provider, self.mode, id_)
