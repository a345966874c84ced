"""Take a billing provider's event: inbox row, facts, links and what follows for the tenant.

With an API key for its provider an event is only a hint: what it links is written down, and the
subscription itself is fetched by the worker.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shared.aws.items import inbox_key, inbox_put
from shared.aws.table import Put, Write
from shared.domain.billing_events import BillingEvent, Word
from shared.domain.tenant import Tenant
from shared.usecases.accept_event import AcceptEvent
from shared.usecases.alerts import alert_put
from shared.usecases.keep_books import Entered, KeepBooks, Said
from shared.webhooks.ports import Accepted

__all__ = ["AcceptBilling"]


@dataclass(frozen=True)
class AcceptBilling(AcceptEvent):
    """Accept the events of billing providers.

    `fetches` says whether subscriptions of a provider can be fetched from its API.
    """

    fetches: Callable[[str], bool]

    def billing(self, event: BillingEvent, *, body_sha256: str, trace: str) -> Accepted:
        """Store an event with its effect, and wake the worker.

        Raises:
            Transient: storage does not answer, or others were quicker each time; nothing is
                acknowledged, the provider comes back.
        """
        if event.mode != self.control.settings.billing_mode:
            return Accepted("ignored", reason=f"an event of the provider's {event.mode} mode")
        if event.refetch and not self.fetches(event.provider):
            why = f"this event says too little without an API key of {event.provider}"
            return Accepted("ignored", reason=why)
        key = inbox_key(event.provider, event.mode, event.event_id)
        return self._once(
            key,
            body_sha256,
            admit=lambda: self._admit(event, key, body_sha256, trace),
            duplicate=lambda _seen: self._duplicate(event, trace),
            subject=f"{event.provider}/{event.event_id}",
        )

    def _admit(self, event: BillingEvent, key: str, body_sha256: str, trace: str) -> Accepted:
        now = self.control.now()
        fetches = self.fetches(event.provider)
        inbox = inbox_put(key, now, {"type": event.type, "body_sha256": body_sha256})
        entered: list[Entered] = []
        for number, word in enumerate(event.words, start=1):
            # What is entered twice changes nothing, so the inbox row goes with the last word.
            also: list[Write] = self._with_event(event, inbox) if number == len(event.words) else []
            entered.append(self._enter(event, word, also, fetches=fetches, trace=trace))
        if not event.words:
            self.control.state.commit(also=self._with_event(event, inbox))
        self._wake(event, entered, fetches=fetches, trace=trace)
        return _answer(event, entered)

    def _enter(
        self, event: BillingEvent, word: Word, also: list[Write], *, fetches: bool, trace: str
    ) -> Entered:
        wanted = fetches and word.subscription_id is not None
        said = Said(
            provider=event.provider,
            mode=event.mode,
            word=word.model_copy(update={"fact": None}) if wanted else word,
            why=f"{event.provider} {event.type}",
            trace=trace,
            wanted=wanted,
        )
        return KeepBooks(self.control).enter(said, also=also)

    def _with_event(self, event: BillingEvent, inbox: Put) -> list[Write]:
        if event.unknown is None:
            return [inbox]
        alert = alert_put(
            self.control.now(),
            kind="billing_status_unknown",
            severity="warning",
            subject=f"{event.provider}/{event.unknown}",
            summary=f"{event.provider} names a status that d1fleet does not know: {event.unknown}; "
            f"nothing was changed for it ({event.event_id})",
        )
        return [inbox, alert]

    def _duplicate(self, event: BillingEvent, trace: str) -> Accepted:
        """Wake again what the first delivery may have died before waking."""
        state, store = self.control.state, self.control.subscriptions
        entered = []
        for word in event.words:
            ref, customer = event.subscription(word), event.customer(word)
            tenant_id = store.pointer(ref).tenant_id if ref else None
            if tenant_id is None and customer is not None:
                tenant_id = store.customer(customer).tenant_id
            tenant = None if tenant_id is None else state.tenant(tenant_id)
            entered.append(Entered(tenant, parked=tenant is None))
        self._wake(event, entered, fetches=self.fetches(event.provider), trace=trace)
        return Accepted("duplicate", _status(entered))

    def _wake(
        self, event: BillingEvent, entered: list[Entered], *, fetches: bool, trace: str
    ) -> None:
        tenants = {one.tenant.tenant_id for one in entered if one.tenant and not one.tenant.settled}
        if tenants:
            self.control.enqueue("tenant", *sorted(tenants), trace=trace)
        refs = {ref.message_id for word in event.words if (ref := event.subscription(word))}
        if fetches and refs:
            self.control.enqueue("subscription", *sorted(refs), trace=trace)


def _status(entered: list[Entered]) -> str | None:
    found: list[Tenant] = [one.tenant for one in entered if one.tenant is not None]
    return found[-1].status if found else None


def _answer(event: BillingEvent, entered: list[Entered]) -> Accepted:
    status = _status(entered)
    if event.unknown is not None:
        return Accepted("ignored", status, f"a status that is not known: {event.unknown}")
    if entered and all(one.parked for one in entered):
        return Accepted("parked", status)
    return Accepted("accepted", status)
