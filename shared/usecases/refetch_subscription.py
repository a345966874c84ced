"""Fetch a subscription from its provider's API, and enter what it says now.

An event is only a hint then: late ones, and those that came in the wrong order, do no harm. While
the API does not answer the wish stays written down (`wanted_at`), with one live chain of delayed
messages; the sweep finds it when a message was lost.
"""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.aws.table import Put
from shared.domain.billing_events import Word
from shared.domain.ledger import Pointer
from shared.domain.messages import Message
from shared.domain.outcomes import Done, GaveUp, Outcome, RetryLater
from shared.domain.subscription import Ref
from shared.errors import Conflict, Permanent, Transient
from shared.usecases.alerts import alert_put
from shared.usecases.context import Control, backoff
from shared.usecases.keep_books import KeepBooks, Said

__all__ = ["Fetch", "RefetchSubscription"]

RACES: Final = 5
REFUSED_AGAIN: Final = timedelta(minutes=15)
"""How long the sweep leaves alone what the provider refused: a person has to act first."""

Fetch = Callable[[Ref], Word | None]
"""Return what a provider says of a subscription at this moment, None if it has no such one.

The word has no fact if the status is not known.

Raises:
    Transient: it does not answer.
    Permanent: it will not answer until a person acts.
"""

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class RefetchSubscription:
    """Work on messages of the kind `subscription`."""

    control: Control
    fetch: Fetch

    def __call__(self, message: Message) -> Outcome:
        """Fetch one subscription if that is still wanted.

        Raises:
            Transient: the table does not answer.
            Permanent: the message names no subscription.
        """
        try:
            ref = Ref.of_message(message.id)
        except ValueError:
            raise Permanent(f"not a subscription's name: {message.id}") from None
        for _ in range(RACES):
            pointer = self.control.subscriptions.pointer(ref)
            if pointer.wanted_at is None:
                return Done()
            if message.token is not None and pointer.token not in {None, message.token}:
                return Done()  # another chain of messages is the live one
            try:
                return self._attempt(ref, pointer, message)
            except Conflict as conflict:
                log.info("lost a race for %s, fetching again", conflict.condition)
        raise Transient("this subscription is contended", retry_after=1)

    def _attempt(self, ref: Ref, pointer: Pointer, message: Message) -> Outcome:
        try:
            word = self.fetch(ref)
        except Transient as error:
            return self._wait(pointer, error)
        except Permanent as error:
            return self._refused(pointer, error)
        said = Said(
            provider=ref.provider,
            mode=ref.mode,
            word=word or Word(subscription_id=ref.id),
            why=f"fetched from {ref.provider}",
            trace=message.trace,
            fetched_for=pointer,
        )
        also = [] if word is not None and word.fact is not None else [self._told(ref, word)]
        entered = KeepBooks(self.control).enter(said, also=also)
        tenant = entered.tenant
        if tenant is not None and not tenant.settled:
            self.control.enqueue("tenant", tenant.tenant_id, trace=message.trace)
        return Done()

    def _wait(self, pointer: Pointer, error: Transient) -> Outcome:
        failures = pointer.failures + 1
        after = backoff(failures, error.retry_after)
        token = secrets.token_hex(8)
        waits = self.control.subscriptions.postpone(
            pointer,
            due=self.control.now() + timedelta(seconds=after),
            failures=failures,
            token=token,
        )
        if waits is None:
            raise Conflict("pointer is as it was read")
        return RetryLater(after, str(error), token)

    def _refused(self, pointer: Pointer, error: Permanent) -> Outcome:
        """Leave the wish to the sweep, and tell a person once."""
        now = self.control.now()
        if pointer.refused != error.reason:
            row = alert_put(
                now,
                kind="billing_api_refused",
                severity="error",
                subject=f"{pointer.provider}/{pointer.mode}/{pointer.subscription_id}",
                summary=f"{pointer.provider}'s subscription {pointer.subscription_id} can't be "
                f"fetched: {error.reason}",
            )
            self.control.state.table.write(row)
        waits = self.control.subscriptions.postpone(
            pointer, due=now + REFUSED_AGAIN, refused=error.reason, token=None
        )
        if waits is None:
            raise Conflict("pointer is as it was read")
        return GaveUp(error.reason)

    def _told(self, ref: Ref, word: Word | None) -> Put:
        """Return the alert about a subscription that nothing could be learnt of."""
        what = "is not known there" if word is None else "has a status that d1fleet does not know"
        return alert_put(
            self.control.now(),
            kind="billing_status_unknown",
            severity="warning",
            subject=f"{ref.provider}/{ref.mode}/{ref.id}",
            summary=f"{ref.provider}'s subscription {ref.id} {what}; nothing was changed for it",
        )
