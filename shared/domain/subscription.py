"""One subscription: the facts that were heard of it, and how it stands after all of them.

Providers promise no order and say things twice, so what is kept is a set of facts and never a
state: the same facts give the same subscription in whatever order, and however often, they come.

- A final fact (canceled, revoked, expired) wins over everything: a subscription never comes back
  from there, a new one is needed.
- Else the newest fact counts, by the provider's own time.
- Of two facts of the same moment the safer one counts: that which serves. A payment that fails and
  is mended within a second must not leave a customer locked out.

Facts that can't matter any more are forgotten, so that a subscription stays small: whatever is
older than the newest fact that was not `past_due`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, StringConstraints

from shared.domain.event_fields import Mode
from shared.domain.lifecycle import Instant, iso

__all__ = ["MAX_FACTS", "BillingId", "Fact", "Ref", "Standing", "Subscription"]

BillingId = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9_.:@|-]{1,100}$")]
"""A provider's id of a subscription or customer; it becomes part of a key of the table."""

MAX_FACTS: Final = 40
"""Of more words than this in one stretch of `past_due`, the first and the newest are kept."""


class Standing(StrEnum):
    """Name how a provider says that a subscription stands."""

    ACTIVE = "active"
    PAST_DUE = "past_due"
    SUSPENDED = "suspended"
    PENDING = "pending"
    ENDED = "ended"


_SAFER: Final = {
    Standing.ENDED: 0,
    Standing.PENDING: 1,
    Standing.SUSPENDED: 2,
    Standing.PAST_DUE: 3,
    Standing.ACTIVE: 4,
}


@dataclass(frozen=True)
class Ref:
    """Name a subscription or a customer of a provider in one of its modes."""

    provider: str
    mode: Mode
    id: str

    @property
    def key(self) -> str:
        """Return the name as part of a key of the table."""
        return f"{self.provider}#{self.mode}#{self.id}"

    @property
    def message_id(self) -> str:
        """Return the name as a message carries it."""
        return f"{self.provider}:{self.mode}:{self.id}"

    @classmethod
    def of_message(cls, text: str) -> Self:
        """Read what `message_id` wrote.

        Raises:
            ValueError: it is no such name.
        """
        provider, mode, id_ = text.split(":", 2)
        if mode not in {"live", "test"}:
            raise ValueError("no such mode")
        return cls(provider, "live" if mode == "live" else "test", id_)


class Fact(BaseModel):
    """Say how one subscription stood at a moment.

    `at` is the provider's time of that word, else when it was received; of what was fetched from
    the provider's API, when it was asked. `final` says that nothing can follow. `ends_at` is a
    scheduled end, `began_at` when the subscription began. `said` is the provider's own status, for
    people.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    standing: Standing
    at: Instant
    final: bool = False
    ends_at: Instant | None = None
    began_at: Instant | None = None
    said: str = ""

    @property
    def order(self) -> tuple[datetime, int, str, str, str]:
        """Return what facts are sorted by: time, then the safer, then anything that is fixed."""
        ends = "" if self.ends_at is None else iso(self.ends_at)
        began = "" if self.began_at is None else iso(self.began_at)
        return self.at, _SAFER[self.standing], ends, began, self.said


class Subscription(BaseModel):
    """Hold what was heard of one subscription.

    `vouched` says that its tenant was named by something that the payer can't edit; `episode` is
    the life of the tenant that its newest word belongs to. Without facts it is only known to be
    there. `parked` says that it waits for its tenant, `told` that a person knows; `grace_over` that
    its being past due was followed by all that follows. `version` is the condition of the next
    write.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    provider: str
    mode: Mode
    subscription_id: str
    customer_id: str | None = None
    tenant_id: str | None = None
    vouched: bool = False
    episode: int = 1
    began_at: Instant | None = None
    facts: tuple[Fact, ...] = ()
    first_seen_at: Instant
    parked: bool = False
    told: bool = False
    grace_over: bool = False
    version: int = 0

    @property
    def ref(self) -> Ref:
        """Return its name."""
        return Ref(self.provider, self.mode, self.subscription_id)

    @property
    def customer(self) -> Ref | None:
        """Return the name of who pays."""
        if self.customer_id is None:
            return None
        return Ref(self.provider, self.mode, self.customer_id)

    @property
    def newest(self) -> Fact | None:
        """Return the fact that counts."""
        return self.facts[-1] if self.facts else None

    @property
    def past_due_since(self) -> datetime | None:
        """Return when it first became past due, if it is."""
        since = None
        for fact in reversed(self.facts):
            if fact.standing is not Standing.PAST_DUE:
                break
            since = fact.at
        return since

    def heard(self, *facts: Fact, episode: int | None = None) -> Self:
        """Return the subscription after more facts; itself if they change nothing.

        `episode` is the tenant's life in which they were heard.
        """
        kept = _that_matter([*self.facts, *facts])
        began = min(
            (at for at in (self.began_at, *(fact.began_at for fact in facts)) if at is not None),
            default=None,
        )
        if (kept, began) == (self.facts, self.began_at):
            return self
        news = kept[-1:] != self.facts[-1:] and not any(fact.final for fact in self.facts)
        life = episode if news and episode is not None else self.episode
        if self.facts:
            life = max(life, self.episode)
        over = self.grace_over and not news
        return self.model_copy(
            update={"facts": kept, "began_at": began, "episode": life, "grace_over": over}
        )


def _that_matter(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Return the facts, in order, that can still matter whatever comes later."""
    ordered = sorted(set(facts), key=lambda fact: fact.order)
    final = [fact for fact in ordered if fact.final]
    if final:
        return (final[0],)
    start = 0
    for place, fact in enumerate(ordered):
        if fact.standing is not Standing.PAST_DUE:
            start = place
    kept = ordered[start:]
    if len(kept) > MAX_FACTS:
        # The first two: what was before the stretch, and the word that it began with.
        kept = [*kept[:2], *kept[2 - MAX_FACTS :]]
    return tuple(kept)
