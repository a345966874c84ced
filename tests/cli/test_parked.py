"""`d1fleet parked`, and what `tenants show` says of subscriptions."""

from datetime import timedelta
from typing import Any

import pytest

from shared.aws.subscriptions import subscription_writes
from shared.domain.subscription import Standing
from shared.usecases.review_billing import list_parked

pytestmark = pytest.mark.workerd

FIELDS = {
    *["provider", "mode", "subscription_id", "customer_id", "tenant_id", "vouched", "standing"],
    *["said", "said_at", "past_due_since", "ends_at", "began_at", "episode", "first_seen_at"],
}


def test_a_subscription_waits_for_its_tenant(stack: Any) -> None:
    """It is listed with its age until the tenant is there, then it is shown with the tenant."""
    assert stack.run("parked", "--json").data == []
    stack.billing_says("org_paid", Standing.ACTIVE)
    ran = stack.run("parked", "--json")
    [row] = ran.data
    assert (ran.status, set(row)) == (0, FIELDS | {"age_seconds"})
    assert (row["subscription_id"], row["tenant_id"]) == ("sub_org_paid", "org_paid")
    assert 0 <= row["age_seconds"] < 60
    assert "sub_org_paid" in stack.run("parked").stdout

    stack.active("org_paid")
    assert stack.run("parked", "--json").data == []
    shown = stack.run("tenants", "show", "org_paid", "--json").data
    [subscription] = shown["subscriptions"]
    assert set(subscription) == FIELDS
    assert (shown["entitlement"], shown["what"]) == ("active", "served, subscribed")
    assert shown["word"].startswith("billing's, ")
    assert "stripe sub_org_paid active" in stack.run("tenants", "show", "org_paid").stdout


def test_one_that_waits_for_long_needs_a_person(stack: Any) -> None:
    """After a day the status is 2, and doctor says so too."""
    stack.billing_says(None, Standing.ACTIVE)
    state = stack.parts.control.state
    [one] = list_parked(stack.parts.control)
    old = one.model_copy(update={"first_seen_at": one.first_seen_at - timedelta(hours=25)})
    state.commit(also=subscription_writes(one, old))
    ran = stack.run("parked", "--json")
    assert (ran.status, ran.data[0]["tenant_id"]) == (2, None)
    checks = {row["check"]: row for row in stack.run("doctor", "--json").data}
    assert checks["parked"]["status"] == "warning"
    [one] = list_parked(stack.parts.control)
    state.table._client.delete_item(
        TableName=state.table.name, Key={"pk": f"SUB#{one.ref.key}", "sk": f"SUB#{one.ref.key}"}
    )


def test_what_billing_will_do_is_told_beforehand(stack: Any) -> None:
    """A scheduled end, a late payment and an end are each told with their time."""
    stack.active("org_ends")
    ends_at = stack.parts.control.now() + timedelta(days=3)
    stack.billing_says("org_ends", Standing.ACTIVE, ends_at=ends_at)
    shown = stack.run("tenants", "show", "org_ends", "--json").data
    assert "closing begins" in shown["next"]
    assert shown["next_at"] == shown["subscriptions"][0]["ends_at"]
    stack.billing_says("org_ends", Standing.PAST_DUE)
    shown = stack.run("tenants", "show", "org_ends", "--json").data
    assert shown["what"].startswith("served although past due since ")
    assert shown["next"] == "suspended, if nothing is paid"
    stack.billing_says("org_ends", Standing.ENDED, final=True)
    shown = stack.run("tenants", "show", "org_ends", "--json").data
    assert shown["status"] == "closing"
    assert (shown["entitlement"], shown["next_at"]) == ("ended", shown["grace_ends_at"])
