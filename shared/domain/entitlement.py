"""What all subscriptions of a tenant together entitle it to: a pure function of what was heard."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, assert_never

from shared.domain.standing import FREE, Entitlement, Right
from shared.domain.subscription import Fact, Standing, Subscription

__all__ = ["Policy", "entitlement"]

_BEST: Final = (Right.ACTIVE, Right.GRACE, Right.SUSPENDED, Right.ENDED)


@dataclass(frozen=True)
class Policy:
    """Say what a deployment does about payments that are late.

    With `serve`, a `past_due` subscription is served for `past_due_grace` after it became so.
    """

    past_due: Literal["serve", "suspend"] = "serve"
    past_due_grace: timedelta = timedelta(days=14)


@dataclass(frozen=True)
class _Claim:
    """What one subscription says for itself."""

    right: Right
    fact: Fact
    began_at: datetime | None
    reason: str = ""
    changes_at: datetime | None = None


def entitlement(
    subscriptions: Iterable[Subscription], *, policy: Policy, episode: int, now: datetime
) -> Entitlement:
    """Return what a tenant is entitled to in this episode: the best that any subscription gives.

    What ended in an earlier episode does not count: an id that comes back starts free. Neither
    does what a payer may have linked by himself, once it no longer entitles: such a subscription
    can give a tenant something, never take anything away.
    """
    found = [
        claim
        for subscription in subscriptions
        if (claim := _claim(subscription, policy, episode, now)) is not None
    ]
    for right in _BEST:
        those = [claim for claim in found if claim.right is right]
        if those:
            return _together(right, those, found)
    return FREE


def _claim(
    subscription: Subscription, policy: Policy, episode: int, now: datetime
) -> _Claim | None:
    fact = subscription.newest
    if fact is None:
        return None
    began = subscription.began_at
    claim: _Claim | None
    match fact.standing:
        case Standing.ACTIVE:
            return _Claim(Right.ACTIVE, fact, began)
        case Standing.PAST_DUE:
            claim = _past_due(subscription, fact, policy, now)
        case Standing.SUSPENDED:
            claim = _Claim(Right.SUSPENDED, fact, began, f"the subscription is {fact.said}")
        case Standing.PENDING:
            return None
        case Standing.ENDED:
            ended = fact.at.date().isoformat()
            counts = subscription.episode >= episode
            claim = _Claim(Right.ENDED, fact, began, f"the subscription ended on {ended}")
            claim = claim if counts else None
        case _:
            assert_never(fact.standing)
    if claim is not None and claim.right is not Right.GRACE and not subscription.vouched:
        return None
    return claim


def _past_due(subscription: Subscription, fact: Fact, policy: Policy, now: datetime) -> _Claim:
    since = subscription.past_due_since or fact.at
    until = since + policy.past_due_grace
    began, reason = subscription.began_at, f"past due since {since.date().isoformat()}"
    if policy.past_due == "serve" and now < until:
        return _Claim(Right.GRACE, fact, began, reason, changes_at=until)
    return _Claim(Right.SUSPENDED, fact, began, reason)


def _together(right: Right, those: list[_Claim], found: list[_Claim]) -> Entitlement:
    ends = [claim.fact.ends_at for claim in those]
    changes = [claim.changes_at for claim in those if claim.changes_at is not None]
    began = [claim.began_at for claim in those if claim.began_at is not None]
    entitles = right in {Right.ACTIVE, Right.GRACE}
    return Entitlement(
        right,
        said_at=max(claim.fact.at for claim in found),
        began_at=max(began, default=None) if entitles else None,
        ends_at=max((end for end in ends if end is not None), default=None)
        if entitles and all(ends)
        else None,
        changes_at=max(changes, default=None),
        reason=min(claim.reason for claim in those),
    )
